#include "decode/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/hash.h"
#include "decode/pooled_state.h"

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
  if (settings.reward && settings.reward->features.layers != std::vector<std::size_t>{0}) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the head's features are of layers {}; replies can be scored by the last one only",
                            layers_name(settings.reward->features.layers)),
                "train a head on features without --layers");
  }
  const std::size_t context = backbone.identity().context_tokens;
  const std::size_t prompt = std::clamp<std::size_t>(longest_prompt_tokens, 1, context);
  const std::size_t reply = std::min(settings.max_tokens, context - prompt);
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
  bool finished = false;  ///< nothing more is drawn
  bool waits = false;     ///< its last token is to be evaluated
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
}

std::size_t Generator::context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                     std::size_t longest_prompt_tokens) {
  return Session::context_bytes(backbone, session_options(backbone, settings, longest_prompt_tokens, 1));
}

/// Draws the stream's next token and finds out what follows from it.
void Generator::draw(Stream& stream, std::span<const float> logits, std::size_t prompt_tokens) {
  Reply& reply = stream.reply;
  const Token token = stream.sampler.draw(logits);
  reply.log_probability += log_probability(logits, token);
  ++reply.log_probability_tokens;
  if (backbone_.tokenizer().is_end(token)) {
    // Not part of the reply, neither for its text nor for its score.
    reply.finish = Finish::Stop;
    stream.finished = true;
    return;
  }
  reply.tokens.push_back(token);
  const bool at_limit = reply.tokens.size() >= settings_.max_tokens;
  stream.finished = at_limit || prompt_tokens + reply.tokens.size() >= backbone_.identity().context_tokens;
  reply.finish = at_limit ? Finish::Length : Finish::Context;
  // The last token is evaluated for its state alone.
  stream.waits = !stream.finished || stream.pooled.has_value();
}

/// One decode for all streams that wait for one; false when there is none.
bool Generator::step(std::span<Stream> streams, std::size_t prompt_tokens) {
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
    if (!stream.finished) draw(stream, outputs[r].logits, prompt_tokens);
    if (!stream.waits) session_.drop(stream.sequence);
  }
  return !rows.empty();
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
  const std::vector<float> first(output.logits.begin(), output.logits.end());

  std::vector<Reply> replies;
  const int wave = wave_size(backbone_, settings_.candidates);
  for (int begin = 0; begin < settings_.candidates; begin += wave) {
    std::vector<Stream> streams;
    for (int i = begin; i < std::min(begin + wave, settings_.candidates); ++i) {
      const std::uint64_t seed = candidate_seed(settings_.seed, prompt.tokens, static_cast<std::size_t>(i));
      streams.emplace_back(i - begin + 1, Sampler(settings_.sampling, seed), pooled);
      streams.back().sampler.accept(prompt.tokens);
      draw(streams.back(), first, prompt_tokens);
      if (streams.back().waits) session_.fork(0, streams.back().sequence);
    }
    while (step(streams, prompt_tokens)) {
    }
    for (Stream& stream : streams) {
      Reply& reply = stream.reply;
      reply.text = backbone_.decode_response(prompt, reply.tokens);
      if (stream.pooled && !reply.tokens.empty()) {
        reply.score = settings_.reward->head->score(stream.pooled->feature());
      }
      replies.push_back(std::move(reply));
    }
  }
  return replies;
}

}  // namespace coala
