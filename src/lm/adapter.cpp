#include "lm/adapter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gguf.h>
#include <llama.h>

#include <array>
#include <cmath>
#include <exception>
#include <map>
#include <new>
#include <string_view>

#include "core/error.h"
#include "core/hash.h"
#include "lm/log_sink.h"

namespace coala {
namespace {

/// What convert_lora_to_gguf.py writes. With integer types llama.cpp ends the process.
constexpr std::array<ggml_type, 4> kTypes{GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0};
constexpr const char* kAlpha = "adapter.lora.alpha";

struct Factors {
  const GgufTensor* a = nullptr;
  const GgufTensor* b = nullptr;
};

std::uint64_t extent(const GgufTensor& tensor, std::size_t dimension) {
  return dimension < tensor.shape.size() ? tensor.shape[dimension] : 1;
}

/// Finds what llama.cpp would meet with an assertion, leave out silently or explain badly.
class Check {
 public:
  Check(const std::filesystem::path& path, const GgufFile& adapter, const GgufFile& model, bool writes)
      : path_(path), adapter_(adapter), model_(model), writes_(writes) {
    for (const GgufTensor& tensor : model.tensors) weights_[tensor.name] = &tensor;
  }

  void run() const {
    const std::string own = adapter_.text("general.architecture");
    const std::string other = model_.text("general.architecture");
    if (own != other) throw misfit(fmt::format("it is for the architecture '{}', the model is a '{}'", own, other));
    const auto alpha_type = adapter_.types.find(kAlpha);
    if (alpha_type != adapter_.types.end() && (alpha_type->second != static_cast<std::uint32_t>(GGUF_TYPE_FLOAT32) ||
                                               !std::isfinite(adapter_.numbers.at(kAlpha)))) {
      throw Error(ErrorCode::CorruptFile, fmt::format("{} is damaged: its '{}' is no number", path_.string(), kAlpha),
                  "download or convert the adapter again");
    }
    if (adapter_.types.contains("adapter.alora.invocation_tokens")) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("{} is an activated LoRA, which works from certain tokens on only", path_.string()),
                  "use an ordinary LoRA adapter");
    }
    for (const auto& [name, factors] : pairs()) check_pair(name, factors);
  }

 private:
  Error misfit(const std::string& why) const {
    return Error(ErrorCode::BadInput, fmt::format("the adapter {} does not fit the model: {}", path_.string(), why),
                 "name the model that the adapter was trained on");
  }
  Error unusable(const std::string& why) const {
    return Error(ErrorCode::BadInput, fmt::format("the adapter {} cannot be applied: {}", path_.string(), why),
                 "merge it into the model before the conversion to GGUF, and use it without --lora");
  }

  std::map<std::string, Factors> pairs() const {
    constexpr std::string_view kA = ".lora_a";
    constexpr std::string_view kB = ".lora_b";
    std::map<std::string, Factors> result;
    for (const GgufTensor& tensor : adapter_.tensors) {
      const bool is_a = tensor.name.ends_with(kA);
      if (!is_a && !tensor.name.ends_with(kB)) {
        throw unusable(fmt::format("besides LoRA matrices it has the tensor '{}'", tensor.name));
      }
      Factors& factors = result[tensor.name.substr(0, tensor.name.size() - kA.size())];
      (is_a ? factors.a : factors.b) = &tensor;
      bool known = false;
      for (const ggml_type type : kTypes) known = known || tensor.type == static_cast<std::uint32_t>(type);
      if (!known) {
        throw unusable(fmt::format("the tensor '{}' has the type {}, not F32, F16, BF16 or Q8_0", tensor.name,
                                   ggml_type_name(static_cast<ggml_type>(tensor.type))));
      }
    }
    return result;
  }

  void check_pair(const std::string& name, const Factors& factors) const {
    if (factors.a == nullptr || factors.b == nullptr) {
      throw Error(ErrorCode::CorruptFile,
                  fmt::format("{} is damaged: one of the two matrices for '{}' is missing", path_.string(), name),
                  "convert the adapter again");
    }
    const auto found = weights_.find(name);
    if (found == weights_.end()) throw misfit(fmt::format("the model has no '{}'", name));
    const GgufTensor& weight = *found->second;
    if (weight.shape.size() < 2) throw unusable(fmt::format("'{}' is a vector, not a matrix", name));
    const GgufTensor& a = *factors.a;
    const GgufTensor& b = *factors.b;
    const bool embedding = name == "token_embd.weight";
    // An embedding is looked up, so that its A holds a row per token; else A reads what the weight reads.
    const bool outer = embedding ? extent(b, 1) == extent(weight, 0) && extent(a, 1) == extent(weight, 1)
                                 : extent(a, 0) == extent(weight, 0) && extent(b, 1) == extent(weight, 1);
    const bool inner = embedding ? extent(a, 0) == extent(b, 0) : extent(a, 1) == extent(b, 0);
    bool rest = true;  // experts
    for (std::size_t k = 2; k < GGML_MAX_DIMS; ++k) {
      rest = rest && extent(a, k) == extent(weight, k) && extent(b, k) == extent(weight, k);
    }
    if (!outer || !inner || !rest) {
      throw misfit(fmt::format("its matrices for '{}' are {} and {}, the model's weight is {}", name,
                               fmt::join(a.shape, " x "), fmt::join(b.shape, " x "), fmt::join(weight.shape, " x ")));
    }
    // llama.cpp would take the embedding's factors for those of the output matrix too, which are the other way round,
    // and end the process.
    if (embedding && writes_ && !weights_.contains("output.weight")) {
      throw unusable("it changes 'token_embd.weight', which this model uses for its output as well");
    }
  }

  const std::filesystem::path& path_;
  const GgufFile& adapter_;
  const GgufFile& model_;
  bool writes_;
  std::map<std::string, const GgufTensor*> weights_;
};

llama_adapter_lora* load(const std::filesystem::path& path, llama_model* model) {
  clear_llama_log();
  llama_adapter_lora* adapter = nullptr;
  std::string reason;
  try {
    adapter = llama_adapter_lora_init(model, path.c_str());
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    reason = error.what();
  }
  if (adapter == nullptr) {
    if (const std::string logged = llama_error(); !logged.empty()) reason = logged;
    throw Error(ErrorCode::BadInput,
                fmt::format("llama.cpp cannot load the adapter {}: {}", path.string(),
                            reason.empty() ? "it does not say why" : reason),
                "check that the file is complete and that it was made for this model");
  }
  return adapter;
}

}  // namespace

void Adapter::Free::operator()(llama_adapter_lora* adapter) const {
  llama_adapter_lora_free(adapter);
}

Adapter::Adapter(const std::filesystem::path& path, double scale, llama_model* model, const GgufFile& model_file,
                 bool writes)
    : file_(read_adapter_header(path)), scale_(static_cast<float>(scale)) {
  if (!std::isfinite(scale_)) {
    throw Error(ErrorCode::BadUsage, fmt::format("the adapter's scale is {}", scale), "use a finite --lora-scale");
  }
  Check(path, file_, model_file, writes).run();
  hash_ = hash_file(path);
  handle_.reset(load(path, model));
}

}  // namespace coala
