#include "lm/hidden_states.h"

#include <fmt/format.h>
#include <llama.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/interrupt.h"
#include "lm/context.h"
#include "lm/log_sink.h"

namespace coala {
namespace {

/// Rows per decode. llama.cpp's output buffer is rows times vocabulary floats even when the output is skipped, so more
/// costs memory, and less costs speed.
constexpr std::size_t kBatchRows = 512;
/// Sequences in the cache at once; 0 keeps the trunk. llama.cpp allows 256.
constexpr int kSequences = 33;

int usable_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

/// The evaluation callback: asks for the final norm's node and stops the graph there.
struct Stopper {
  bool armed = false;
  int fired = 0;

  static bool on_node(ggml_tensor* node, bool ask, void* self_pointer) {
    auto& self = *static_cast<Stopper*>(self_pointer);
    if (ask) {
      // The node has the second name when embeddings are asked for, as they are here.
      return self.armed &&
             (std::strcmp(node->name, "result_norm") == 0 || std::strcmp(node->name, "result_embd_pooled") == 0);
    }
    ++self.fired;
    return false;
  }
};

}  // namespace

struct StateEvaluator::Row {
  Token token;
  llama_pos position;
  int branch;                    ///< or kTrunk
  std::vector<llama_seq_id> in;  ///< sequences of the cache that the row belongs to
};

struct StateEvaluator::Context {
  Stopper stopper;
  llama_context* handle = nullptr;
  std::size_t cells = 0;
  ~Context() {
    if (handle != nullptr) llama_free(handle);
  }
};

StateEvaluator::StateEvaluator(const Backbone& backbone, const StateOptions& options)
    : backbone_(backbone), options_(options), context_(std::make_unique<Context>()) {
  const std::size_t longest = backbone.identity().context_tokens;
  if (options.longest_tokens < 1 || options.longest_tokens > longest) {
    throw Error(ErrorCode::BadInput,
                fmt::format("sequences of {} tokens are asked for, the context of {} is {}", options.longest_tokens,
                            backbone.identity().name, longest),
                fmt::format("use --max-length {} or less", longest));
  }
  // A recurrent state cannot be shared by sequences that go on from its middle.
  if (llama_model_is_recurrent(backbone.handle()) || llama_model_is_hybrid(backbone.handle())) {
    options_.share_trunk = false;
  }
  llama_context_params params = context_params(options.threads > 0 ? options.threads : usable_cores());
  // Room for two branches of any length beside each other; more of them share it when they are shorter.
  context_->cells = options_.share_trunk ? 2 * options.longest_tokens : options.longest_tokens;
  params.n_ctx = static_cast<std::uint32_t>((context_->cells + 255) / 256 * 256);
  params.n_batch = kBatchRows;
  params.n_ubatch = kBatchRows;
  params.n_seq_max = options_.share_trunk ? kSequences : 1;
  params.cb_eval = &Stopper::on_node;
  params.cb_eval_user_data = &context_->stopper;
  context_->handle =
      open_context(backbone, params, options.longest_tokens, "use a smaller --max-length or a smaller model");
  if (options_.skip_output) check_skip();
}

StateEvaluator::~StateEvaluator() = default;

std::size_t StateEvaluator::context_bytes() const {
  const BackboneIdentity& model = backbone_.identity();
  const auto heads = static_cast<std::size_t>(std::max(1, llama_model_n_head(backbone_.handle())));
  const auto kv_heads = static_cast<std::size_t>(std::max(1, llama_model_n_head_kv(backbone_.handle())));
  const std::size_t cache = context_->cells * model.layers * 2 * (model.attention_width / heads * kv_heads);
  const std::size_t output = kBatchRows * (model.vocabulary + model.dimension);
  const std::size_t scores = kBatchRows * heads * context_->cells;
  return (cache + output + scores) * sizeof(float);
}

void StateEvaluator::check_skip() {
  // Two rows, so that a route which evaluates only the last one is caught.
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < std::min<std::size_t>(2, options_.longest_tokens); ++i) {
    tokens.push_back(static_cast<Token>(i % backbone_.tokenizer().size()));
  }
  std::vector<float> plain;
  evaluate({tokens, {}}, [&](int, std::size_t, std::span<const float> state) {
    plain.insert(plain.end(), state.begin(), state.end());
  });
  skips_output_ = true;
  context_->stopper.fired = 0;
  std::vector<float> stopped;
  evaluate({tokens, {}}, [&](int, std::size_t, std::span<const float> state) {
    stopped.insert(stopped.end(), state.begin(), state.end());
  });
  // The stop changes what is evaluated after the states, not the states: equal bits, or it did something else.
  skips_output_ = context_->stopper.fired == 1 && plain.size() == stopped.size() &&
                  std::memcmp(plain.data(), stopped.data(), plain.size() * sizeof(float)) == 0;
  evaluated_tokens_ = 0;
}

void StateEvaluator::evaluate(const TokenTree& tree, const StateVisitor& visitor) {
  std::size_t longest = 0;
  for (const auto& branch : tree.branches) longest = std::max(longest, branch.size());
  if (tree.trunk.size() + longest > options_.longest_tokens) {
    throw Error(ErrorCode::BadInput, fmt::format("a sequence has {} tokens, at most {} can be evaluated",
                                                 tree.trunk.size() + longest, options_.longest_tokens));
  }
  llama_memory_t memory = llama_get_memory(context_->handle);
  llama_memory_clear(memory, /*data=*/false);

  std::vector<Row> rows;
  const auto add = [&rows](std::span<const Token> tokens, std::size_t start, int branch,
                           const std::vector<llama_seq_id>& in) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      rows.push_back({tokens[i], static_cast<llama_pos>(start + i), branch, in});
    }
  };
  if (!options_.share_trunk) {
    if (tree.branches.empty()) add(tree.trunk, 0, kTrunk, {0});
    run(rows, visitor);
    for (std::size_t b = 0; b < tree.branches.size(); ++b) {
      llama_memory_clear(memory, false);
      rows.clear();
      add(tree.trunk, 0, kTrunk, {0});
      add(tree.branches[b], tree.trunk.size(), static_cast<int>(b), {0});
      run(rows, [&](int branch, std::size_t position, std::span<const float> state) {
        if (branch != kTrunk || b == 0) visitor(branch, position, state);
      });
    }
    return;
  }
  // Groups of branches that fit beside the trunk. The trunk's rows go with the first group, in the same decode calls.
  std::size_t begin = 0;
  do {
    std::size_t end = begin;
    std::size_t used = tree.trunk.size();
    while (end < tree.branches.size() && end - begin + 1 < static_cast<std::size_t>(kSequences) &&
           used + tree.branches[end].size() <= context_->cells) {
      used += tree.branches[end++].size();
    }
    rows.clear();
    if (begin == 0) {
      std::vector<llama_seq_id> everyone;
      for (std::size_t s = 0; s <= end; ++s) everyone.push_back(static_cast<llama_seq_id>(s));
      add(tree.trunk, 0, kTrunk, everyone);
    } else {
      for (llama_seq_id s = 1; s < kSequences; ++s) llama_memory_seq_rm(memory, s, -1, -1);
      for (std::size_t b = begin; b < end; ++b) {
        llama_memory_seq_cp(memory, 0, static_cast<llama_seq_id>(b - begin + 1), -1, -1);
      }
    }
    for (std::size_t b = begin; b < end; ++b) {
      add(tree.branches[b], tree.trunk.size(), static_cast<int>(b), {static_cast<llama_seq_id>(b - begin + 1)});
    }
    run(rows, visitor);
    begin = end;
  } while (begin < tree.branches.size());
}

void StateEvaluator::run(std::span<const Row> rows, const StateVisitor& visitor) {
  context_->stopper.armed = skips_output_;
  std::vector<Token> tokens;
  std::vector<llama_pos> positions;
  std::vector<std::int32_t> sequence_counts;
  std::vector<llama_seq_id*> sequences;
  for (std::size_t begin = 0; begin < rows.size(); begin += kBatchRows) {
    const auto chunk = rows.subspan(begin, std::min(kBatchRows, rows.size() - begin));
    tokens.clear();
    positions.clear();
    sequence_counts.clear();
    sequences.clear();
    for (const Row& row : chunk) {
      tokens.push_back(row.token);
      positions.push_back(row.position);
      sequence_counts.push_back(static_cast<std::int32_t>(row.in.size()));
      sequences.push_back(const_cast<llama_seq_id*>(row.in.data()));  // the C struct is not const; it is only read
    }
    // All rows are outputs: the last layer keeps flagged rows only.
    std::vector<std::int8_t> outputs(chunk.size(), 1);
    llama_batch batch{};
    batch.n_tokens = static_cast<std::int32_t>(chunk.size());
    batch.token = tokens.data();
    batch.pos = positions.data();
    batch.n_seq_id = sequence_counts.data();
    batch.seq_id = sequences.data();
    batch.logits = outputs.data();
    clear_llama_log();
    int status = 0;
    try {
      status = llama_decode(context_->handle, batch);
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      throw Error(ErrorCode::Internal, fmt::format("llama.cpp failed: {}", error.what()));
    }
    if (status != 0) {
      throw_if_interrupted();
      throw Error(ErrorCode::Internal, fmt::format("llama.cpp could not evaluate {} tokens (status {}): {}",
                                                   chunk.size(), status, llama_error()));
    }
    evaluated_tokens_ += chunk.size();
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      const float* state = llama_get_embeddings_ith(context_->handle, static_cast<std::int32_t>(i));
      if (state == nullptr) throw Error(ErrorCode::Internal, "llama.cpp gave no hidden state");
      visitor(chunk[i].branch, static_cast<std::size_t>(chunk[i].position), {state, backbone_.identity().dimension});
    }
  }
}

}  // namespace coala
