#include "lm/state_route.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "lm/accelerator.h"
#include "lm/context.h"
#include "lm/state_tap.h"

namespace coala {
namespace {

constexpr std::size_t kTokens = 3;
constexpr std::uint32_t kBatchRows = 16;

/// Of centred logits: how far they may be from plain llama.cpp's, relative to their size. That rounds activations to
/// eight bits before it multiplies them with quantised weights, and a mixture of experts may then choose another
/// expert; what is wrong has nothing in common and is off by its own size.
constexpr double kLargestDifference = 0.7;

/// Switches our kernels off for as long as it lives.
struct PlainKernels {
  bool before = has_accelerator();
  PlainKernels() { use_accelerator(false); }
  ~PlainKernels() { use_accelerator(before); }
  PlainKernels(const PlainKernels&) = delete;
  PlainKernels& operator=(const PlainKernels&) = delete;
};

struct FreeContext {
  void operator()(llama_context* context) const { llama_free(context); }
};

struct Evaluated {
  std::vector<float> logits;  ///< [tokens, vocabulary]
  std::vector<float> states;  ///< [tokens, d]; empty when there are none
};

/// The first few evaluations of a model.
class FirstDecodes {
 public:
  explicit FirstDecodes(const Backbone& backbone) : backbone_(backbone) {
    const std::size_t count = std::min(kTokens, backbone.identity().context_tokens);
    const std::size_t vocabulary = backbone.identity().vocabulary;
    for (std::size_t i = 0; i < count; ++i) tokens_.push_back(static_cast<Token>((7 * i + 5) % vocabulary));
    llama_context_params params = context_params(/*threads=*/1);
    params.n_ctx = 256;
    params.n_batch = kBatchRows;
    params.n_ubatch = kBatchRows;
    tap_.attach(params);
    context_.reset(open_context(backbone, params, count, "use a smaller model"));
  }

  Evaluated evaluate(bool embeddings) {
    llama_memory_clear(llama_get_memory(context_.get()), /*data=*/true);
    llama_set_embeddings(context_.get(), embeddings);
    tap_.begin(!embeddings);
    const auto count = static_cast<std::int32_t>(tokens_.size());
    std::vector<llama_pos> positions;
    std::vector<std::int8_t> wanted(tokens_.size(), 1);
    for (std::int32_t i = 0; i < count; ++i) positions.push_back(i);
    llama_batch batch{};
    batch.n_tokens = count;
    batch.token = tokens_.data();
    batch.pos = positions.data();
    batch.logits = wanted.data();
    decode_batch(context_.get(), batch);
    return read(embeddings);
  }

 private:
  Evaluated read(bool embeddings) const {
    const std::size_t d = backbone_.identity().dimension;
    Evaluated result;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const auto row = static_cast<std::int32_t>(i);
      const float* logits = llama_get_logits_ith(context_.get(), row);
      if (logits != nullptr)
        result.logits.insert(result.logits.end(), logits, logits + backbone_.identity().vocabulary);
      const float* state = embeddings ? llama_get_embeddings_ith(context_.get(), row) : nullptr;
      const std::span<const float> states = embeddings ? std::span(state, state == nullptr ? 0 : d) : tap_.state(i, d);
      result.states.insert(result.states.end(), states.begin(), states.end());
    }
    return result;
  }

  const Backbone& backbone_;
  std::vector<Token> tokens_;
  StateTap tap_;
  std::unique_ptr<llama_context, FreeContext> context_;
};

/// Takes off what the softmax takes off anyway.
void centre(std::span<float> logits) {
  double mean = 0;
  for (const float logit : logits) mean += static_cast<double>(logit) / static_cast<double>(logits.size());
  for (float& logit : logits) logit -= static_cast<float>(mean);
}

/// ||a - b|| / ||b|| of centred logits; infinite when a value is none.
double difference(std::vector<float> a, std::vector<float> b, std::size_t vocabulary) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  for (std::size_t at = 0; at < a.size(); at += vocabulary) {
    centre(std::span(a).subspan(at, vocabulary));
    centre(std::span(b).subspan(at, vocabulary));
  }
  double off = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    off += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  if (off == 0) return 0;
  return std::isfinite(off) && size > 0 ? std::sqrt(off / size) : INFINITY;
}

bool equal_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace

StateRoute find_state_route(const Backbone& backbone) {
  const BackboneIdentity& model = backbone.identity();
  FirstDecodes decodes(backbone);
  const Evaluated beside = decodes.evaluate(/*embeddings=*/true);
  const Evaluated alone = decodes.evaluate(/*embeddings=*/false);
  Evaluated plain;
  {
    const PlainKernels kernels;
    plain = decodes.evaluate(/*embeddings=*/false);
  }
  const double off = difference(alone.logits, plain.logits, model.vocabulary);
  if (!(off <= kLargestDifference)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the log-probabilities of {} ({}) are not those of plain llama.cpp: {:.0f} % off",
                            model.name, model.architecture, 100 * off),
                "this version cannot write with it; please report the model");
  }
  if (equal_bits(beside.logits, alone.logits)) return StateRoute::Embeddings;
  if (equal_bits(beside.states, alone.states)) return StateRoute::FinalNorm;
  throw Error(
      ErrorCode::BadInput,
      fmt::format("llama.cpp gives the states of {} ({}) and its logits, but not both", model.name, model.architecture),
      "this version can take features from it, and cannot write with it");
}

}  // namespace coala
