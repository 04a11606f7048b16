#include "decode/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/hash.h"
#include "decode/pooled_state.h"
#include "decode/stop_strings.h"

namespace coala {
namespace {

/// Models up to this size advance kSmallWave candidates at a time, larger ones kLargeWave. A decode reads all weights,
/// so that more rows share that work; but in a unified cache every row computes attention over the cells of all
/// sequences, which grows with the square of their number. Weights that stay in the processor's cache are read so fast
/// that the second counts. Measured with 8 candidates, F16, 1 thread, waves of 4 against all at once, replies of 40 and
/// of 128 tokens: 3 million parameters 1.15 and 1.3 times faster, 7 million 1.0 to 1.2 and 1.2, 34 million 0.96
/// and 1.0, 170 million 0.86.
constexpr std::uint64_t kSmallParameters = 16'000'000;
constexpr int kSmallWave = 4;
constexpr int kLargeWave = 64;

constexpr int kFirstBranch = 2;

/// How many candidates advance together: waves of about equal size.
int wave_size(const Backbone& backbone, int candidates) {
  const int most = backbone.identity().parameters <= kSmallParameters ? kSmallWave : kLargeWave;
  const int waves = (candidates + most - 1) / most;
  return (candidates + waves - 1) / waves;
}

bool needs_prompt_states(const GenerationSettings& settings) {
  if (!settings.reward) return false;
  const FeatureSettings& features = settings.reward->features;
  return features.pooling != Pooling::Last && features.over == PoolOver::All;
}

SessionOptions session_options(const Backbone& backbone, const GenerationSettings& settings,
                               std::size_t longest_prompt_tokens, int threads) {
  if (settings.max_tokens < 1) {
    throw Error(ErrorCode::BadUsage, "replies of 0 tokens are asked for", "use --max-tokens 1 or more");
  }
  if (settings.candidates < 1) {
    throw Error(ErrorCode::BadUsage, fmt::format("{} replies to a prompt are asked for", settings.candidates),
                "ask for 1 or more");
  }
  if (settings.branch && !settings.reward) {
    throw Error(ErrorCode::BadUsage, "branch guidance asks a head, and there is none", "name a head file with --head");
  }
  if (settings.branch) settings.branch->validate();
  if (std::ranges::find(settings.stops, "") != settings.stops.end()) {
    throw Error(ErrorCode::BadUsage, "a stop string is empty");
  }
  if (settings.reward && settings.reward->features.layers != std::vector<std::size_t>{0}) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the head's features are of layers {}; replies can be scored by the last one only",
                            layers_name(settings.reward->features.layers)),
                "train a head on features without --layers");
  }
  const std::size_t context = backbone.identity().context_tokens;
  const std::size_t prompt = std::clamp<std::size_t>(longest_prompt_tokens, 1, context);
  const std::size_t reply = std::min(settings.max_tokens, context - prompt);
  if (settings.branch) {
    // Sequence 0 keeps the prompt, 1 is the reply, the branches follow.
    const int branches = BranchGuide::branches(backbone, *settings.branch);
    const auto ahead = static_cast<std::size_t>(branches * settings.branch->look_ahead);
    return {kFirstBranch + branches, prompt + reply + ahead, threads};
  }
  const int wave = wave_size(backbone, settings.candidates);
  // Sequence 0 keeps the prompt for the waves to come.
  return {wave + 1, prompt + static_cast<std::size_t>(wave) * reply, threads};
}

}  // namespace

/// A reply in the making.
struct Generator::Stream {
  Stream(int own_sequence, Sampler own_sampler, std::optional<PooledState> prompt)
      : sequence(own_sequence), sampler(std::move(own_sampler)), pooled(std::move(prompt)) {}

  int sequence;
  Sampler sampler;
  std::optional<PooledState> pooled;  ///< with a head
  Reply reply;
  bool finished = false;              ///< nothing more is drawn
  bool waits = false;                 ///< its last token is to be evaluated
  std::optional<std::string> ending;  ///< the text, when a stop string ended it
  std::size_t shown_bytes = 0;        ///< of the text, to on_text
  /// Features of the last texts, without their last token: a stop string may take tokens back. The first one is that of
  /// `settled_tokens` tokens, which no stop string can reach any more.
  std::vector<PooledState> earlier;
  std::size_t settled_tokens = 0;
};

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::Stop:
      return "stop";
    case Finish::Length:
      return "length";
    case Finish::Context:
      return "context";
  }
  throw Error(ErrorCode::Internal, "an ending without a name");
}

std::uint64_t candidate_seed(std::uint64_t seed, std::span<const Token> prompt, std::size_t candidate) {
  const std::string_view bytes(reinterpret_cast<const char*>(prompt.data()), prompt.size_bytes());
  return hash64(fmt::format("candidate {}", candidate), hash64(bytes, seed));
}

std::size_t best_of(std::span<const Reply> candidates) {
  const auto score = [](const Reply& reply) { return reply.score.value_or(-std::numeric_limits<double>::infinity()); };
  return static_cast<std::size_t>(std::ranges::max_element(candidates, {}, score) - candidates.begin());
}

Generator::Generator(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
                     int threads)
    : backbone_(backbone),
      settings_(settings),
      session_(backbone, session_options(backbone, settings, longest_prompt_tokens, threads)) {
  settings_.sampling.validate();
  if (settings_.branch) {
    guide_.emplace(backbone_, session_, *settings_.reward, *settings_.branch, kFirstBranch, settings_.tilt);
  }
}

std::size_t Generator::context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                     std::size_t longest_prompt_tokens) {
  return Session::context_bytes(backbone, session_options(backbone, settings, longest_prompt_tokens, 1));
}

Generator::Stream Generator::new_stream(const EncodedPrompt& prompt, int number, int sequence,
                                        const std::optional<PooledState>& pooled) {
  const std::uint64_t seed = candidate_seed(settings_.seed, prompt.tokens, static_cast<std::size_t>(number));
  Stream stream(sequence, Sampler(settings_.sampling, seed, settings_.grammar), pooled);
  stream.sampler.accept(prompt.tokens);
  return stream;
}

std::span<const float> Generator::tilted(const Session::Output& output) {
  if (settings_.tilt == nullptr) return output.logits;
  tilted_.assign(output.logits.begin(), output.logits.end());
  settings_.tilt->add(output.state, tilted_);
  return tilted_;
}

/// Draws the stream's next token.
void Generator::draw(Stream& stream, const EncodedPrompt& prompt, const Session::Output& output) {
  const Token token = stream.sampler.draw(tilted(output));
  take(stream, prompt, {token, log_probability(output.logits, token), {}});
}

/// Finds out what follows from the stream's next token.
void Generator::take(Stream& stream, const EncodedPrompt& prompt, const DrawnToken& drawn) {
  Reply& reply = stream.reply;
  reply.log_probability += drawn.log_probability;
  ++reply.log_probability_tokens;
  if (settings_.trace) reply.trace.push_back(drawn);
  if (backbone_.tokenizer().is_end(drawn.token)) {
    // Not part of the reply, neither for its text nor for its score.
    reply.finish = Finish::Stop;
    stream.finished = true;
    return;
  }
  reply.tokens.push_back(drawn.token);
  const bool at_limit = reply.tokens.size() >= settings_.max_tokens;
  stream.finished = at_limit || prompt.tokens.size() + reply.tokens.size() >= backbone_.identity().context_tokens;
  reply.finish = at_limit ? Finish::Length : Finish::Context;
  // The last token is evaluated for its state alone.
  stream.waits = !stream.finished || stream.pooled.has_value();
  if (!settings_.stops.empty() || settings_.on_text) follow_text(stream, prompt);
}

/// Ends the reply before a stop string, and shows what is sure to be in it.
void Generator::follow_text(Stream& stream, const EncodedPrompt& prompt) {
  Reply& reply = stream.reply;
  std::string text = backbone_.decode_response(prompt, reply.tokens);
  const std::size_t stop = find_stop(text, settings_.stops);
  if (stream.pooled) stream.earlier.push_back(*stream.pooled);
  if (stop != std::string::npos) {
    text.resize(stop);
    std::size_t kept = reply.tokens.size() - 1;
    while (kept > stream.settled_tokens &&
           backbone_.decode_response(prompt, std::span(reply.tokens).first(kept)).size() > stop) {
      --kept;
    }
    reply.tokens.resize(kept);
    if (stream.pooled) stream.pooled = stream.earlier[kept - stream.settled_tokens];
    reply.finish = Finish::Stop;
    stream.finished = true;
    stream.waits = false;
    stream.ending = std::move(text);
    return;
  }
  const std::size_t unsettled = unsettled_bytes(text, settings_.stops);
  if (unsettled == 0) {
    stream.earlier.clear();
    stream.settled_tokens = reply.tokens.size();
  }
  const std::size_t settled = text.size() - unsettled;
  // White space that may be the template's is not the reply's.
  if (settings_.on_text && settled > stream.shown_bytes && !prompt.response_lead.starts_with(text)) {
    settings_.on_text(std::string_view(text).substr(stream.shown_bytes, settled - stream.shown_bytes));
    stream.shown_bytes = settled;
  }
}

/// One decode for all streams that wait for one; false when there is none.
bool Generator::step(std::span<Stream> streams, const EncodedPrompt& prompt) {
  std::vector<Session::Row> rows;
  std::vector<Stream*> waiting;
  for (Stream& stream : streams) {
    if (!stream.waits) continue;
    rows.push_back({stream.sequence, stream.reply.tokens.back()});
    waiting.push_back(&stream);
  }
  const std::span<const Session::Output> outputs = session_.step(rows);
  for (std::size_t r = 0; r < outputs.size(); ++r) {
    Stream& stream = *waiting[r];
    stream.waits = false;
    if (stream.pooled) stream.pooled->add(outputs[r].state);
    if (!stream.finished) draw(stream, prompt, outputs[r]);
    if (!stream.waits) session_.drop(stream.sequence);
  }
  return !rows.empty();
}

/// A whole reply with branch guidance.
void Generator::write_guided(Stream& stream, const EncodedPrompt& prompt, Session::Output output) {
  const auto every = static_cast<std::size_t>(settings_.branch->every);
  session_.fork(0, stream.sequence);
  while (!stream.finished) {
    std::optional<Session::Output> next;
    // Without a scale the scores would change nothing but, by rounding, the winner's logits.
    if (settings_.branch->scale != 0 && (stream.reply.tokens.size() + 1) % every == 0) {
      untilted_.assign(output.logits.begin(), output.logits.end());
      const BranchChoice choice = guide_->choose(stream.sequence, *stream.pooled, stream.sampler, tilted(output));
      next = choice.next;
      stream.reply.guided_steps += choice.guided ? 1 : 0;
      take(stream, prompt, {choice.token, log_probability(untilted_, choice.token), choice.score});
    } else {
      draw(stream, prompt, output);
    }
    if (!stream.waits) continue;
    stream.waits = false;
    const Session::Row row{stream.sequence, stream.reply.tokens.back()};
    output = next ? *next : session_.step({&row, 1}).front();
    stream.pooled->add(output.state);
  }
  session_.drop(stream.sequence);
}

Reply Generator::finished(Stream& stream, const EncodedPrompt& prompt) {
  Reply& reply = stream.reply;
  reply.text = stream.ending ? *stream.ending : backbone_.decode_response(prompt, reply.tokens);
  if (settings_.on_text && reply.text.size() > stream.shown_bytes) {
    settings_.on_text(std::string_view(reply.text).substr(stream.shown_bytes));
  }
  if (stream.pooled && !reply.tokens.empty()) {
    reply.score = settings_.reward->head->score(stream.pooled->feature());
  }
  return std::move(reply);
}

std::vector<Reply> Generator::generate(const EncodedPrompt& prompt) {
  const std::size_t prompt_tokens = prompt.tokens.size();
  const std::size_t context = backbone_.identity().context_tokens;
  if (prompt_tokens >= context) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the prompt has {} tokens; the context of {} is {}, which leaves no room for a reply",
                            prompt_tokens, backbone_.identity().name, context),
                "shorten the prompt, or use a model with a longer context");
  }
  std::optional<PooledState> pooled;
  if (settings_.reward) pooled.emplace(settings_.reward->features.pooling, backbone_.identity().dimension);
  Session::PromptVisitor visitor;
  if (needs_prompt_states(settings_)) {
    visitor = [&pooled](std::size_t, std::span<const float> state) { pooled->add(state); };
  }
  const Session::Output output = session_.start(prompt.tokens, visitor);
  const std::vector<float> logits(output.logits.begin(), output.logits.end());
  const std::vector<float> state(output.state.begin(), output.state.end());
  const Session::Output first{logits, state};

  std::vector<Reply> replies;
  const int wave = settings_.branch ? 1 : wave_size(backbone_, settings_.candidates);
  for (int begin = 0; begin < settings_.candidates; begin += wave) {
    std::vector<Stream> streams;
    for (int i = begin; i < std::min(begin + wave, settings_.candidates); ++i) {
      streams.push_back(new_stream(prompt, i, i - begin + 1, pooled));
      if (settings_.branch) {
        write_guided(streams.back(), prompt, first);
        continue;
      }
      draw(streams.back(), prompt, first);
      if (streams.back().waits) session_.fork(0, streams.back().sequence);
    }
    while (step(streams, prompt)) {
    }
    for (Stream& stream : streams) replies.push_back(finished(stream, prompt));
  }
  return replies;
}

}  // namespace coala
