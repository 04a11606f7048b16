#include "lm/session.h"

#include <fmt/format.h>
#include <llama.h>

#include <algorithm>

#include "core/error.h"
#include "lm/accelerator.h"
#include "lm/context.h"
#include "lm/late_output.h"
#include "lm/state_tap.h"

namespace coala {
namespace {

/// Rows per decode of a prompt.
constexpr std::size_t kPromptRows = 512;
/// The same when every row's state is wanted: llama.cpp then evaluates and stores every row's logits, which with a
/// vocabulary of 128,000 is 0.5 MB a row.
constexpr std::size_t kPromptOutputRows = 64;
/// llama.cpp's own limit.
constexpr int kMostSequences = 256;
/// From 16 rows on the output matrix is faster as a part of the decode.
constexpr std::size_t kMostLateRows = 15;

std::size_t output_rows(const SessionOptions& options) {
  return std::max(kPromptOutputRows, static_cast<std::size_t>(options.sequences));
}

/// llama.cpp rounds up to this, and aborts when a batch has more rows than there are cells.
std::size_t padded_cells(const SessionOptions& options) {
  return (std::max(options.cells, output_rows(options)) + 255) / 256 * 256;
}

}  // namespace

/// The context and the arrays of a batch, kept so that a step allocates nothing here.
struct Session::Context {
  LateOutput late_output;
  StateTap tap;  ///< for models that give no logits beside their states
  llama_context* handle = nullptr;
  std::vector<Token> tokens;
  std::vector<llama_pos> positions;
  std::vector<llama_seq_id> sequences;
  std::vector<llama_seq_id*> sequence_lists;
  std::vector<std::int32_t> sequence_counts;
  std::vector<std::int8_t> wanted;

  ~Context() {
    if (handle != nullptr) llama_free(handle);
  }
  void clear() {
    tokens.clear();
    positions.clear();
    sequences.clear();
  }
  void add(Token token, std::size_t position, int sequence) {
    tokens.push_back(token);
    positions.push_back(static_cast<llama_pos>(position));
    sequences.push_back(sequence);
  }
};

SessionCounts& SessionCounts::operator+=(const SessionCounts& other) {
  decodes += other.decodes;
  rows += other.rows;
  output_rows += other.output_rows;
  attention_pairs += other.attention_pairs;
  return *this;
}

Session::Session(const Backbone& backbone, const SessionOptions& options)
    : backbone_(backbone),
      options_(options),
      context_(std::make_unique<Context>()),
      has_parts_(coala::has_parts(backbone)) {
  if (backbone.identity().encoder) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} ({}) is an encoder: it reads texts and cannot write any", backbone.identity().name,
                            backbone.identity().architecture),
                "use a causal language model, such as a Llama, Qwen, Gemma or Mistral");
  }
  if (options.sequences < 1 || options.sequences > kMostSequences) {
    throw Error(
        ErrorCode::BadUsage,
        fmt::format("{} sequences at once are asked for; 1 to {} are possible", options.sequences, kMostSequences),
        "ask for fewer candidates");
  }
  const std::size_t most = backbone.identity().context_tokens * static_cast<std::size_t>(options.sequences);
  if (options.cells < 1 || options.cells > most) {
    throw Error(ErrorCode::BadUsage, fmt::format("a cache of {} tokens is asked for; {} sequences of {} need 1 to {}",
                                                 options.cells, options.sequences, backbone.identity().name, most));
  }
  llama_context_params params = context_params(options.threads);
  params.n_ctx = static_cast<std::uint32_t>(padded_cells(options));
  params.n_batch = kPromptRows;
  params.n_ubatch = kPromptRows;
  params.n_seq_max = static_cast<std::uint32_t>(options.sequences);
  params.n_outputs_max = static_cast<std::uint32_t>(output_rows(options));
  context_->late_output.attach(params);
  taps_states_ = backbone.state_route() == StateRoute::FinalNorm;
  if (taps_states_) context_->tap.attach(params);
  context_->handle =
      open_context(backbone, params, options.cells, "use fewer candidates, a smaller --max-tokens or a smaller model");
  lengths_.resize(static_cast<std::size_t>(options.sequences));
  copies_.resize(lengths_.size());
}

Session::~Session() = default;

std::size_t Session::context_bytes(const Backbone& backbone, const SessionOptions& options) {
  const BackboneIdentity& model = backbone.identity();
  const auto heads = static_cast<std::size_t>(std::max(1, llama_model_n_head(backbone.handle())));
  const auto kv_heads = static_cast<std::size_t>(std::max(1, llama_model_n_head_kv(backbone.handle())));
  const std::size_t cells = padded_cells(options);
  const std::size_t cache = cells * model.layers * 2 * (model.attention_width / heads * kv_heads);
  // Logits and states, once in the graph and once in the buffer that they are copied to.
  const std::size_t output = 2 * output_rows(options) * (model.vocabulary + model.dimension);
  const std::size_t scores = kPromptRows * heads * cells;
  return (cache + output + scores) * sizeof(float);
}

void Session::check_sequence(int sequence) const {
  if (sequence < 0 || sequence >= options_.sequences) {
    throw Error(ErrorCode::Internal, fmt::format("sequence {} of {} is asked for", sequence, options_.sequences));
  }
}

std::size_t Session::length_tokens(int sequence) const {
  check_sequence(sequence);
  return lengths_[static_cast<std::size_t>(sequence)];
}

void Session::clear() {
  llama_memory_clear(llama_get_memory(context_->handle), /*data=*/false);
  std::ranges::fill(lengths_, std::size_t{0});
  std::ranges::fill(copies_, Copy{});
}

Session::Output Session::start(int sequence, std::span<const Token> prompt, const PromptVisitor& visitor) {
  drop(sequence);
  return prefill(sequence, prompt, true, visitor);
}

Session::Output Session::prefill(int sequence, std::span<const Token> tokens, bool last, const PromptVisitor& visitor) {
  check_sequence(sequence);
  auto& length = lengths_[static_cast<std::size_t>(sequence)];
  const std::size_t before = length;
  if (before == 0) forget(sequence);  // a dropped copy is still entered in the cells that it shared
  if (tokens.empty()) {
    throw Error(ErrorCode::BadInput, "the prompt has no tokens, so there is nothing to continue",
                "give it some text; this model has no token that starts a text");
  }
  const std::size_t longest = std::min(options_.cells, backbone_.identity().context_tokens);
  if (before + tokens.size() > longest) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the prompt has {} tokens, at most {} can be evaluated", before + tokens.size(), longest),
                "shorten the prompt");
  }
  // What is asked for is decided per context, not per row: without embeddings no row of the prompt has an output, and
  // most of the last layer and the output matrix are left out. The last token comes by itself, with outputs: one decode
  // of one row more, and still 15 % less time for a prompt of 40 tokens (imdb-llama F16, 1 thread).
  const std::size_t silent = visitor ? 0 : tokens.size() - (last ? 1 : 0);
  const std::size_t chunk_rows = visitor ? kPromptOutputRows : kPromptRows;
  for (std::size_t begin = 0; begin < tokens.size();) {
    const bool with_outputs = begin >= silent;
    const std::size_t end = std::min(begin + chunk_rows, with_outputs ? tokens.size() : silent);
    context_->clear();
    for (std::size_t i = begin; i < end; ++i) context_->add(tokens[i], before + i, sequence);
    decode(with_outputs ? Wanted::Logits : Wanted::Nothing);
    length = before + end;
    for (std::size_t i = begin; visitor && i < end; ++i) visitor(before + i, output(i - begin).state);
    begin = end;
  }
  if (!last) return {};
  const Output next = output(context_->tokens.size() - 1);
  if (context_->tokens.size() == 1) context_->late_output.check(next.state, next.logits);
  return next;
}

void Session::fork(int from, int to) {
  check_sequence(from);
  check_sequence(to);
  if (from == to) return;
  Copy& source = copies_[static_cast<std::size_t>(from)];
  Copy& target = copies_[static_cast<std::size_t>(to)];
  const std::size_t length = length_tokens(from);
  const bool back = source.of == to;  // a copy becomes what it was copied from
  const std::size_t known = back ? source.shared : target.of == from ? target.shared : 0;
  if (known == 0) {
    forget(to);
  } else {
    shorten(to, known);
  }
  llama_memory_seq_cp(llama_get_memory(context_->handle), from, to, static_cast<llama_pos>(known), -1);
  lengths_[static_cast<std::size_t>(to)] = length;
  if (!has_parts_) return;
  if (back && known > 0) {
    source.shared = length;
  } else {
    target = {from, length};
  }
}

Session::Output Session::completed(const Output& output) {
  if (!output.logits.empty()) return output;
  ++counts_.output_rows;
  return {context_->late_output.logits(output.state), output.state};
}

std::span<const Session::Output> Session::step(std::span<const Row> rows) {
  outputs_.clear();
  if (rows.empty()) return outputs_;
  context_->clear();
  for (const Row& row : rows) {
    check_sequence(row.sequence);
    const std::size_t length = lengths_[static_cast<std::size_t>(row.sequence)];
    if (length == 0) {
      throw Error(ErrorCode::Internal, fmt::format("sequence {} is continued before it was started", row.sequence));
    }
    if (length >= backbone_.identity().context_tokens) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("a sequence has {} tokens, the context of {} is full", length, backbone_.identity().name),
                  "use a shorter prompt or a smaller --max-tokens");
    }
    if (std::ranges::find(context_->sequences, row.sequence) != context_->sequences.end()) {
      throw Error(ErrorCode::Internal, fmt::format("sequence {} is continued twice in a step", row.sequence));
    }
    context_->add(row.token, length, row.sequence);
  }
  const auto wanting = static_cast<std::size_t>(std::ranges::count_if(rows, &Row::wants_logits));
  const bool later = wanting < rows.size() && wanting <= kMostLateRows && context_->late_output.possible();
  const Wanted wanted = later ? Wanted::States : Wanted::Logits;
  decode(wanted);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    ++lengths_[static_cast<std::size_t>(rows[i].sequence)];
    outputs_.push_back(output(i, wanted));
  }
  if (later) evaluate_logits(rows);
  return outputs_;
}

/// Of the rows that want them, after a decode that ended at the states.
void Session::evaluate_logits(std::span<const Row> rows) {
  std::vector<std::span<const float>> states;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].wants_logits) states.push_back(outputs_[i].state);
  }
  if (states.empty()) return;
  counts_.output_rows += states.size();
  const std::span<const float> logits = context_->late_output.logits_of(states);
  const std::size_t width = backbone_.identity().vocabulary;
  std::size_t next = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].wants_logits) outputs_[i].logits = logits.subspan(width * next++, width);
  }
}

void Session::drop(int sequence) {
  check_sequence(sequence);
  const Copy& copy = copies_[static_cast<std::size_t>(sequence)];
  if (copy.shared == 0) {
    forget(sequence);
    return;
  }
  shorten(sequence, copy.shared);
  shorten_copies(sequence, 0);
  lengths_[static_cast<std::size_t>(sequence)] = 0;
}

/// Nothing of the sequence stays.
void Session::forget(int sequence) {
  check_sequence(sequence);
  llama_memory_seq_rm(llama_get_memory(context_->handle), sequence, -1, -1);
  lengths_[static_cast<std::size_t>(sequence)] = 0;
  copies_[static_cast<std::size_t>(sequence)] = {};
  shorten_copies(sequence, 0);
}

/// Only `length` tokens of the sequence stay entered. What is copied from it shares no more than that with it.
void Session::shorten(int sequence, std::size_t length) {
  if (!llama_memory_seq_rm(llama_get_memory(context_->handle), sequence, static_cast<llama_pos>(length), -1)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} ({}) cannot forget the end of a text", backbone_.identity().name,
                            backbone_.identity().architecture),
                "use --look-ahead 1");
  }
  auto& own = lengths_[static_cast<std::size_t>(sequence)];
  own = std::min(own, length);
  Copy& copy = copies_[static_cast<std::size_t>(sequence)];
  copy.shared = std::min(copy.shared, length);
  shorten_copies(sequence, length);
}

/// Copies of the sequence that were dropped must not keep cells that it no longer has.
void Session::shorten_copies(int sequence, std::size_t length) {
  for (std::size_t i = 0; i < copies_.size(); ++i) {
    Copy& copy = copies_[i];
    if (copy.of != sequence || copy.shared <= length) continue;
    copy.shared = length;
    const bool dropped = lengths_[i] == 0;
    if (length == 0) copy = {};
    if (!dropped) continue;
    const auto first = length == 0 ? -1 : static_cast<llama_pos>(length);
    llama_memory_seq_rm(llama_get_memory(context_->handle), static_cast<llama_seq_id>(i), first, -1);
  }
}

void Session::truncate(int sequence, std::size_t length) {
  if (length < length_tokens(sequence)) shorten(sequence, length);
}

std::size_t Session::held_tokens(int sequence) const {
  check_sequence(sequence);
  llama_memory_t memory = llama_get_memory(context_->handle);
  const llama_pos last = llama_memory_seq_pos_max(memory, sequence);
  return last < 0 ? 0 : static_cast<std::size_t>(last - llama_memory_seq_pos_min(memory, sequence) + 1);
}

void Session::decode(Wanted wanted) {
  const bool with_outputs = wanted != Wanted::Nothing;
  Context& context = *context_;
  const std::size_t count = context.tokens.size();
  context.sequence_counts.assign(count, 1);
  context.wanted.assign(count, with_outputs ? 1 : 0);
  context.sequence_lists.resize(count);
  for (std::size_t i = 0; i < count; ++i) context.sequence_lists[i] = &context.sequences[i];
  llama_batch batch{};
  batch.n_tokens = static_cast<std::int32_t>(count);
  batch.token = context.tokens.data();
  batch.pos = context.positions.data();
  batch.n_seq_id = context.sequence_counts.data();
  batch.seq_id = context.sequence_lists.data();
  batch.logits = context.wanted.data();
  llama_set_embeddings(context.handle, with_outputs && !taps_states_);
  context.tap.begin(with_outputs && taps_states_);
  context.late_output.stop_at_states(wanted == Wanted::States);
  const EvaluationScope evaluation({.states_only = wanted == Wanted::States});
  decode_batch(context.handle, batch, "use fewer candidates or a smaller --max-tokens");
  threads_ = last_threads();
  ++counts_.decodes;
  counts_.rows += count;
  if (wanted == Wanted::Logits) counts_.output_rows += count;
  for (const llama_pos position : context.positions)
    counts_.attention_pairs += static_cast<std::uint64_t>(position) + 1;
}

Session::Output Session::output(std::size_t row, Wanted wanted) const {
  const float* logits = llama_get_logits_ith(context_->handle, static_cast<std::int32_t>(row));
  const float* state = taps_states_ ? context_->tap.state(row, backbone_.identity().dimension).data()
                                    : llama_get_embeddings_ith(context_->handle, static_cast<std::int32_t>(row));
  if (logits == nullptr || state == nullptr) throw Error(ErrorCode::Internal, "llama.cpp gave no logits or no state");
  const std::size_t width = wanted == Wanted::States ? 0 : backbone_.identity().vocabulary;
  return {{logits, width}, {state, backbone_.identity().dimension}};
}

}  // namespace coala
