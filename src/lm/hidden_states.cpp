#include "lm/hidden_states.h"

#include <fmt/format.h>
#include <ggml-backend.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "lm/accelerator.h"
#include "lm/context.h"

namespace coala {
namespace {

/// Sequences in the cache at once; 0 keeps what the next ones share. llama.cpp allows 256.
constexpr int kSequences = 65;
constexpr std::size_t kFewestBatchRows = 64;
constexpr std::size_t kMostBatchRows = 512;
constexpr std::size_t kNoRow = static_cast<std::size_t>(-1);
/// A matrix product with m rows runs at m / (m + this) of its best speed.
constexpr double kHalfSpeedRows = 16;

std::string layer_node(std::size_t layer) {
  return fmt::format("l_out-{}", layer - 1);
}

}  // namespace

std::size_t shared_prefix(TokenSequence a, TokenSequence b) {
  const std::size_t most = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(most), b.begin()).first - a.begin());
}

std::size_t choose_batch_rows(const BackboneIdentity& backbone) {
  const double weights = 2.0 * static_cast<double>(backbone.active_parameters);
  const double attention = 4.0 * static_cast<double>(backbone.layers) * static_cast<double>(backbone.attention_width);
  // Per token: weights (1 + kHalfSpeedRows / rows) + attention rows / 2, least where its derivative is zero.
  const double rows = std::sqrt(2 * kHalfSpeedRows * weights / std::max(1.0, attention));
  const auto rounded = static_cast<std::size_t>(rows / 64 + 0.5) * 64;
  return std::clamp(rounded, kFewestBatchRows, kMostBatchRows);
}

/// The evaluation callback: takes the states of middle layers and stops the graph at the last node that is needed.
struct StateEvaluator::Stopper {
  bool armed = false;
  int fired = 0;
  bool stop_at_norm = true;
  std::string last_layer;                  ///< where to stop otherwise
  std::vector<std::string> layers;         ///< nodes to copy; "" for the final norm, which llama.cpp keeps
  std::vector<std::vector<float>> states;  ///< per layer, [rows, d]

  bool is_stop(const char* name) const {
    if (!stop_at_norm) return last_layer == name;
    return is_last_state(name);
  }
  static bool on_node(ggml_tensor* node, bool ask, void* self_pointer) {
    auto& self = *static_cast<Stopper*>(self_pointer);
    const auto layer = std::find(self.layers.begin(), self.layers.end(), node->name);
    const bool wanted = layer != self.layers.end() && node->name[0] != '\0';
    const bool stop = self.armed && self.is_stop(node->name);
    if (ask) return wanted || stop;
    if (wanted && node->type == GGML_TYPE_F32) {
      auto& to = self.states[static_cast<std::size_t>(layer - self.layers.begin())];
      to.resize(static_cast<std::size_t>(ggml_nelements(node)));
      ggml_backend_tensor_get(node, to.data(), 0, ggml_nbytes(node));
    }
    if (stop) ++self.fired;
    return !stop;
  }
};

/// Sequences that are evaluated together, and the rows of the model's input that they need.
struct StateEvaluator::Group {
  struct Row {
    Token token;
    llama_pos position;
    std::vector<llama_seq_id> in;  ///< sequences of the cache that the row belongs to: place in the group + 1
  };
  std::size_t begin = 0, end = 0;      ///< among the sequences
  std::vector<std::size_t> from_path;  ///< per sequence, how many tokens are in the cache already
  std::vector<Row> rows;
  std::size_t kept = 0;  ///< leading tokens of the last sequence that the next group shares
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
  const BackboneIdentity& model = backbone.identity();
  if (options.longest_tokens < 1 || options.longest_tokens > model.context_tokens) {
    throw Error(ErrorCode::BadInput,
                fmt::format("sequences of {} tokens are asked for, the context of {} is {}", options.longest_tokens,
                            model.name, model.context_tokens),
                fmt::format("use --max-length {} or less", model.context_tokens));
  }
  if (options.precision != Precision::F32 && !has_accelerator()) {
    throw Error(ErrorCode::BadUsage, "products in bfloat16 need a CPU with AVX2", "use --precision f32");
  }
  const Placement& placement = backbone.placement();
  if (options.precision != Precision::F32 && placement.layers > 0) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("products in bfloat16 are the CPU's, and {} of the model's {} layers are on {}",
                            placement.layers, placement.all_layers, placement.name),
                "use --precision f32, or --device cpu");
  }
  check_layers();
  if (!has_parts(backbone)) options_.share_prefixes = false;
  if (options_.batch_rows == 0) options_.batch_rows = choose_batch_rows(model);
  options_.batch_rows = std::clamp(options_.batch_rows, kFewestBatchRows, kMostBatchRows);
  if (model.encoder) {
    options_.share_prefixes = false;
    options_.skip_output = false;  // there is no output matrix
    options_.batch_rows = options_.longest_tokens;
  }
  llama_context_params params = context_params(options.threads > 0 ? options.threads : usable_cores());
  // Room for what is kept and one group of new tokens.
  context_->cells = options_.share_prefixes
                        ? options.longest_tokens + std::max(options.longest_tokens, options_.batch_rows)
                        : options.longest_tokens;
  params.n_ctx = static_cast<std::uint32_t>((context_->cells + 255) / 256 * 256);
  // llama.cpp's output buffer is rows times vocabulary floats even when the output is skipped.
  params.n_batch = static_cast<std::uint32_t>(std::max<std::size_t>(options_.batch_rows, kSequences));
  params.n_ubatch = params.n_batch;
  params.n_seq_max = options_.share_prefixes ? kSequences : 2;  // what is kept, and the group's
  params.cb_eval = &Stopper::on_node;
  params.cb_eval_user_data = &context_->stopper;
  context_->handle =
      open_context(backbone, params, options.longest_tokens, "use a smaller --max-length or a smaller model");
  if (options_.skip_output) check_skip();
}

StateEvaluator::~StateEvaluator() = default;

std::size_t StateEvaluator::state_size() const {
  return options_.layers.size() * backbone_.identity().dimension;
}

std::size_t StateEvaluator::context_bytes() const {
  const BackboneIdentity& model = backbone_.identity();
  const auto heads = static_cast<std::size_t>(std::max(1, llama_model_n_head(backbone_.handle())));
  const auto kv_heads = static_cast<std::size_t>(std::max(1, llama_model_n_head_kv(backbone_.handle())));
  const std::size_t cache = context_->cells * model.layers * 2 * (model.attention_width / heads * kv_heads);
  const std::size_t output = options_.batch_rows * (model.vocabulary + model.dimension);
  const std::size_t scores = options_.batch_rows * heads * context_->cells;
  const std::size_t path = options_.longest_tokens * state_size();
  return (cache + output + scores + path) * sizeof(float);
}

void StateEvaluator::check_layers() {
  const std::size_t layers = backbone_.identity().layers;
  Stopper& stopper = context_->stopper;
  stopper.stop_at_norm = false;
  std::size_t highest = 0;
  for (const std::size_t layer : options_.layers) {
    if (layer > layers) {
      throw Error(ErrorCode::BadUsage,
                  fmt::format("layer {} is asked for, {} has {}", layer, backbone_.identity().name, layers),
                  "choose other --layers");
    }
    if (layer == 0) stopper.stop_at_norm = true;
    highest = std::max(highest, layer);
    stopper.layers.push_back(layer == 0 ? std::string() : layer_node(layer));
  }
  if (options_.layers.empty()) throw Error(ErrorCode::Internal, "states of no layer are asked for");
  stopper.states.resize(stopper.layers.size());
  if (highest > 0) stopper.last_layer = layer_node(highest);
}

void StateEvaluator::check_skip() {
  // Two rows, so that a route which evaluates only the last one is caught.
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < std::min<std::size_t>(2, options_.longest_tokens); ++i) {
    tokens.push_back(static_cast<Token>(i % backbone_.tokenizer().size()));
  }
  const TokenSequence sequence = tokens;
  std::vector<float> plain;
  evaluate({&sequence, 1}, [&](std::size_t, std::size_t, std::span<const float> state) {
    plain.insert(plain.end(), state.begin(), state.end());
  });
  skips_output_ = true;
  context_->stopper.fired = 0;
  std::vector<float> stopped;
  evaluate({&sequence, 1}, [&](std::size_t, std::size_t, std::span<const float> state) {
    stopped.insert(stopped.end(), state.begin(), state.end());
  });
  // The stop changes what is evaluated after the states, not the states: equal bits, or it did something else.
  skips_output_ = context_->stopper.fired == 1 && plain.size() == stopped.size() &&
                  std::memcmp(plain.data(), stopped.data(), plain.size() * sizeof(float)) == 0;
  evaluated_tokens_ = 0;
}

StateEvaluator::Group StateEvaluator::take_group(std::span<const TokenSequence> sequences, std::size_t begin,
                                                 std::size_t kept) const {
  Group group;
  group.begin = begin;
  group.end = begin;
  std::vector<std::size_t> row_at(kept, kNoRow);  // of the current sequence's positions; kNoRow for those of the path
  std::size_t shared = kept;                      // with the sequence before
  std::size_t in_cache = kept;                    // with the path and with all of the group's sequences before
  for (;;) {
    const TokenSequence sequence = sequences[group.end];
    const auto id = static_cast<llama_seq_id>(group.end - begin + 1);
    in_cache = std::min(in_cache, shared);
    group.from_path.push_back(in_cache);
    row_at.resize(shared);
    for (std::size_t p = in_cache; p < shared; ++p) group.rows[row_at[p]].in.push_back(id);
    for (std::size_t p = shared; p < sequence.size(); ++p) {
      row_at.push_back(group.rows.size());
      group.rows.push_back({sequence[p], static_cast<llama_pos>(p), {id}});
    }
    ++group.end;
    group.kept = group.end < sequences.size() ? shared_prefix(sequence, sequences[group.end]) : 0;
    if (!options_.share_prefixes) group.kept = 0;
    if (group.end == sequences.size() || !options_.share_prefixes) break;
    shared = group.kept;
    if (group.end - begin + 1 == static_cast<std::size_t>(kSequences)) break;
    if (group.rows.size() + sequences[group.end].size() - shared > options_.batch_rows) break;
  }
  return group;
}

void StateEvaluator::check_lengths(std::span<const TokenSequence> sequences) const {
  for (const TokenSequence sequence : sequences) {
    if (sequence.empty()) throw Error(ErrorCode::BadInput, "a sequence has no tokens");
    if (sequence.size() <= options_.longest_tokens) continue;
    throw Error(ErrorCode::BadInput, fmt::format("a sequence has {} tokens, at most {} can be evaluated",
                                                 sequence.size(), options_.longest_tokens));
  }
}

void StateEvaluator::evaluate_apart(std::span<const TokenSequence> sequences,
                                    std::span<const std::size_t> prompt_tokens, const StateVisitor& visitor) {
  check_lengths(sequences);
  llama_memory_t memory = llama_get_memory(context_->handle);
  llama_memory_clear(memory, /*data=*/false);
  const std::size_t width = state_size();
  path_.resize(options_.share_prefixes ? options_.longest_tokens * width : 0);
  std::vector<Token> prompt;  // that is in the cache
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const TokenSequence sequence = sequences[i];
    const std::size_t length = options_.share_prefixes ? prompt_tokens[i] : 0;
    Group group;
    group.begin = i;
    group.end = i + 1;
    if (length == 0 || !std::ranges::equal(prompt, sequence.first(length))) {
      llama_memory_clear(memory, false);
      prompt.assign(sequence.begin(), sequence.begin() + static_cast<std::ptrdiff_t>(length));
      for (std::size_t p = 0; p < length; ++p) group.rows.push_back({prompt[p], static_cast<llama_pos>(p), {0}});
      decode_all(group, [&](std::size_t r, std::span<const float> state) {
        std::ranges::copy(state, path_.begin() + static_cast<std::ptrdiff_t>(r * width));
      });
    }
    // Cells of the sequence before are free again, so that these are the same whatever that was.
    llama_memory_seq_rm(memory, 1, -1, -1);
    if (length > 0) llama_memory_seq_cp(memory, 0, 1, 0, static_cast<llama_pos>(length));
    for (std::size_t p = 0; p < length; ++p) visitor(i, p, {path_.data() + p * width, width});
    group.rows.clear();
    for (std::size_t p = length; p < sequence.size(); ++p) {
      group.rows.push_back({sequence[p], static_cast<llama_pos>(p), {1}});
    }
    decode_all(group, [&](std::size_t r, std::span<const float> state) { visitor(i, length + r, state); });
  }
}

/// Decodes a group's rows, as many at a time as a batch has.
void StateEvaluator::decode_all(const Group& group,
                                const std::function<void(std::size_t row, std::span<const float> state)>& take) {
  for (std::size_t begin = 0; begin < group.rows.size(); begin += options_.batch_rows) {
    const std::size_t end = std::min(begin + options_.batch_rows, group.rows.size());
    decode(group, begin, end);
    for (std::size_t r = begin; r < end; ++r) take(r, state_of(r - begin));
  }
}

void StateEvaluator::evaluate(std::span<const TokenSequence> sequences, const StateVisitor& visitor) {
  check_lengths(sequences);
  llama_memory_t memory = llama_get_memory(context_->handle);
  llama_memory_clear(memory, /*data=*/false);
  path_.resize(options_.share_prefixes ? options_.longest_tokens * state_size() : 0);
  std::size_t kept = 0;  // tokens of the path in sequence 0 of the cache, and their states in path_
  for (std::size_t begin = 0; begin < sequences.size();) {
    const Group group = take_group(sequences, begin, kept);
    if (!options_.share_prefixes) llama_memory_clear(memory, false);
    run(group, visitor);
    kept = group.kept;
    begin = group.end;
    if (begin == sequences.size() || !options_.share_prefixes) continue;
    const auto last = static_cast<llama_seq_id>(group.end - group.begin);
    const std::size_t old = group.from_path.back();
    llama_memory_seq_rm(memory, 0, static_cast<llama_pos>(std::min(old, kept)), -1);
    if (kept > old) {
      llama_memory_seq_cp(memory, last, 0, static_cast<llama_pos>(old), static_cast<llama_pos>(kept));
    }
    for (llama_seq_id s = 1; s <= last; ++s) llama_memory_seq_rm(memory, s, -1, -1);
  }
}

void StateEvaluator::run(const Group& group, const StateVisitor& visitor) {
  const std::size_t width = state_size();
  llama_memory_t memory = llama_get_memory(context_->handle);
  for (std::size_t i = 0; i < group.from_path.size(); ++i) {
    const std::size_t known = group.from_path[i];
    if (known == 0) continue;
    llama_memory_seq_cp(memory, 0, static_cast<llama_seq_id>(i + 1), 0, static_cast<llama_pos>(known));
    for (std::size_t p = 0; p < known; ++p) visitor(group.begin + i, p, {path_.data() + p * width, width});
  }
  const auto last = static_cast<llama_seq_id>(group.from_path.size());
  decode_all(group, [&](std::size_t r, std::span<const float> state) {
    const Group::Row& row = group.rows[r];
    const auto position = static_cast<std::size_t>(row.position);
    for (const llama_seq_id id : row.in) visitor(group.begin + static_cast<std::size_t>(id) - 1, position, state);
    if (row.in.back() == last && position < group.kept) {
      std::copy(state.begin(), state.end(), path_.begin() + static_cast<std::ptrdiff_t>(position * width));
    }
  });
}

std::span<const float> StateEvaluator::state_of(std::size_t row) {
  const std::size_t d = backbone_.identity().dimension;
  const auto final_state = [&] {
    const float* state = llama_get_embeddings_ith(context_->handle, static_cast<std::int32_t>(row));
    if (state == nullptr) throw Error(ErrorCode::Internal, "llama.cpp gave no hidden state");
    return std::span(state, d);
  };
  if (options_.layers.size() == 1 && options_.layers.front() == 0) return final_state();
  state_.clear();
  for (std::size_t k = 0; k < options_.layers.size(); ++k) {
    const std::vector<float>& states = context_->stopper.states[k];
    if (options_.layers[k] == 0) {
      const std::span<const float> state = final_state();
      state_.insert(state_.end(), state.begin(), state.end());
    } else if (states.size() >= (row + 1) * d) {
      state_.insert(state_.end(), states.begin() + static_cast<std::ptrdiff_t>(row * d),
                    states.begin() + static_cast<std::ptrdiff_t>((row + 1) * d));
    } else {
      throw Error(ErrorCode::BadInput,
                  fmt::format("the states after layer {} of {} ({}) cannot be taken", options_.layers[k],
                              backbone_.identity().name, backbone_.identity().architecture),
                  "use the last layer");
    }
  }
  return state_;
}

void StateEvaluator::decode(const Group& group, std::size_t begin, std::size_t end) {
  const std::span<const Group::Row> rows = std::span(group.rows).subspan(begin, end - begin);
  std::vector<Token> tokens;
  std::vector<llama_pos> positions;
  std::vector<std::int32_t> sequence_counts;
  std::vector<llama_seq_id*> sequences;
  for (const Group::Row& row : rows) {
    tokens.push_back(row.token);
    positions.push_back(row.position);
    sequence_counts.push_back(static_cast<std::int32_t>(row.in.size()));
    sequences.push_back(const_cast<llama_seq_id*>(row.in.data()));  // the C struct is not const; it is only read
  }
  // All rows are outputs: the last layer keeps flagged rows only.
  std::vector<std::int8_t> outputs(rows.size(), 1);
  llama_batch batch{};
  batch.n_tokens = static_cast<std::int32_t>(rows.size());
  batch.token = tokens.data();
  batch.pos = positions.data();
  batch.n_seq_id = sequence_counts.data();
  batch.seq_id = sequences.data();
  batch.logits = outputs.data();
  context_->stopper.armed = skips_output_;
  const EvaluationScope evaluation({.precision = options_.precision, .states_only = skips_output_, .exact_rows = true});
  decode_batch(context_->handle, batch);
  evaluated_tokens_ += rows.size();
}

}  // namespace coala
