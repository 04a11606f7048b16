#include "decode/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "core/error.h"
#include "core/interrupt.h"
#include "decode/pooled_state.h"
#include "lm/token_odds.h"

namespace coala {
namespace {

/// Replies that are written together. A decode reads all weights, and more rows share that work; from 16 rows on the
/// weights are turned over first, which few rows do not pay back.
constexpr int kMostStreams = 15;
/// What their cache and the buffers of a decode may take; fewer replies are written together where it would be more.
constexpr std::size_t kSessionMemory_bytes = std::size_t{1} << 30;

// Sequences of the session: the prompt that is being opened, then the replies; with branch guidance one reply and its
// branches.
constexpr int kPromptSequence = 0;
constexpr int kFirstReply = 1;
constexpr int kFirstBranch = 2;

bool needs_prompt_states(const GenerationSettings& settings) {
  if (!settings.reward) return false;
  const FeatureSettings& features = settings.reward->features;
  return features.pooling != Pooling::Last && features.over == PoolOver::All;
}

void check(const GenerationSettings& settings) {
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
  if (settings.sentence_candidates > 0 && !settings.reward) {
    throw Error(ErrorCode::BadUsage, "a head chooses the sentences, and there is none", "name a head file with --head");
  }
  if (std::ranges::find(settings.stops, "") != settings.stops.end()) {
    throw Error(ErrorCode::BadUsage, "a stop string is empty");
  }
  if (settings.reward && settings.reward->features.layers != std::vector<std::size_t>{0}) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the head's features are of layers {}; replies can be scored by the last one only",
                            layers_name(settings.reward->features.layers)),
                "train a head on features without --layers");
  }
}

SessionOptions session_options(const Backbone& backbone, const GenerationSettings& settings,
                               std::size_t longest_prompt_tokens, std::size_t most_prompts, int threads) {
  check(settings);
  const std::size_t context = backbone.identity().context_tokens;
  const std::size_t prompt = std::clamp<std::size_t>(longest_prompt_tokens, 1, context);
  const std::size_t reply = std::min(settings.max_tokens, context - prompt);
  if (settings.branch) {
    const int branches = BranchGuide::branches(backbone, *settings.branch);
    const auto ahead = static_cast<std::size_t>(branches * settings.branch->look_ahead);
    return {kFirstBranch + branches, prompt + reply + ahead, threads};
  }
  if (settings.sentence_candidates > 0) {
    // Each continuation may be all that is left of the reply.
    const auto continuations = static_cast<std::size_t>(settings.sentence_candidates);
    return {kFirstBranch + settings.sentence_candidates, prompt + (continuations + 1) * reply, threads};
  }
  const std::size_t replies = static_cast<std::size_t>(settings.candidates) * std::max<std::size_t>(1, most_prompts);
  SessionOptions options;
  for (auto streams = std::min<std::size_t>(kMostStreams, replies); streams > 0; --streams) {
    // Replies to one prompt share its cells; late ones may all be to different prompts, and one more is opened.
    const std::size_t prompts = std::min(streams, most_prompts) + (most_prompts > 1 ? 1 : 0);
    options = {kFirstReply + static_cast<int>(streams), std::max<std::size_t>(1, prompts) * prompt + streams * reply,
               threads};
    if (Session::context_bytes(backbone, options) <= kSessionMemory_bytes) break;
  }
  return options;
}

}  // namespace

/// A prompt that was evaluated: what follows it, and its feature when replies are scored.
struct Generator::Opened {
  Session::OwnedOutput next;
  std::optional<PooledState> feature;
};

/// A reply that is being written.
struct Generator::Writing {
  int sequence = 0;
  std::size_t prompt = 0;
  std::size_t candidate = 0;
  std::unique_ptr<ReplyStream> stream;
};

/// One way that a reply may go on, and what follows it.
struct Generator::Continuation {
  int sequence = 0;
  std::unique_ptr<ReplyStream> stream;
  Session::OwnedOutput next;

  std::optional<double> score(const Head& head) const {
    const PooledState& feature = stream->feature();
    return feature.empty() ? std::nullopt : std::optional(head.score(feature.feature()));
  }
};

/// The replies to a prompt, some of which may still be missing.
struct Generator::Candidates {
  std::vector<Reply> replies;
  std::size_t missing = 0;
};

Generator::Generator(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
                     std::size_t most_prompts, int threads)
    : backbone_(backbone),
      settings_(settings),
      options_(session_options(backbone, settings, longest_prompt_tokens, most_prompts, threads)),
      session_(backbone, options_) {
  settings_.sampling.validate();
  if (settings_.branch) {
    guide_.emplace(backbone_, session_, *settings_.reward, *settings_.branch, kFirstBranch, settings_.tilt);
  }
}

std::size_t Generator::context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                     std::size_t longest_prompt_tokens, std::size_t most_prompts) {
  return Session::context_bytes(backbone, session_options(backbone, settings, longest_prompt_tokens, most_prompts, 1));
}

std::size_t Generator::group_size(const GenerationSettings& settings, std::size_t prompts) {
  // Enough replies to fill the session several times, since a group ends with fewer and fewer; but several groups
  // where there are prompts for them, for as many threads.
  const auto candidates = static_cast<std::size_t>(settings.candidates);
  const std::size_t fewest = (4 + candidates - 1) / candidates;
  const std::size_t most = (8 * kMostStreams + candidates - 1) / candidates;
  return std::clamp(prompts / 8, fewest, most);
}

/// Evaluates a prompt into its sequence.
Generator::Opened Generator::open(const EncodedPrompt& prompt) {
  throw_if_interrupted();
  const std::size_t context = backbone_.identity().context_tokens;
  if (prompt.tokens.size() >= context) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the prompt has {} tokens; the context of {} is {}, which leaves no room for a reply",
                            prompt.tokens.size(), backbone_.identity().name, context),
                "shorten the prompt, or use a model with a longer context");
  }
  Opened opened;
  if (settings_.reward) opened.feature.emplace(settings_.reward->features.pooling, backbone_.identity().dimension);
  Session::PromptVisitor visitor;
  if (needs_prompt_states(settings_)) {
    visitor = [&opened](std::size_t, std::span<const float> state) { opened.feature->add(state); };
  }
  opened.next = Session::OwnedOutput(session_.start(kPromptSequence, prompt.tokens, visitor));
  return opened;
}

std::span<const float> Generator::tilted(const Session::Output& output) {
  if (settings_.tilt == nullptr) return output.logits;
  tilted_.assign(output.logits.begin(), output.logits.end());
  settings_.tilt->add(output.state, tilted_, session_.threads());
  return tilted_;
}

void Generator::draw(ReplyStream& stream, const Session::Output& output) {
  const std::span<const float> logits = tilted(output);
  const Token token = stream.sampler().draw(logits);
  const TokenOdds odds = token_odds(output.logits, token);
  const double moved = settings_.tilt != nullptr ? divergence(logits, output.logits, odds) : 0;
  stream.take({token, odds.log_probability, odds.entropy, moved, {}});
}

/// One decode for all that wait for one.
void Generator::step(std::span<Writing> all) {
  std::vector<Session::Row> rows;
  for (const Writing& writing : all) rows.push_back({writing.sequence, writing.stream->last()});
  const std::span<const Session::Output> outputs = session_.step(rows);
  for (std::size_t i = 0; i < all.size(); ++i) {
    ReplyStream& stream = *all[i].stream;
    stream.evaluated(outputs[i].state);
    if (!stream.finished()) draw(stream, outputs[i]);
  }
}

/// A whole reply with branch guidance.
void Generator::write_guided(ReplyStream& stream, Session::Output output) {
  const auto every = static_cast<std::size_t>(settings_.branch->every);
  session_.fork(kPromptSequence, kFirstReply);
  while (!stream.finished()) {
    std::optional<Session::Output> next;
    // Without a scale the scores would change nothing but, by rounding, the winner's logits.
    if (settings_.branch->scale != 0 && (stream.length_tokens() + 1) % every == 0) {
      untilted_.assign(output.logits.begin(), output.logits.end());
      const BranchChoice choice = guide_->choose(kFirstReply, stream.feature(), stream.sampler(), tilted(output));
      next = choice.next;
      if (choice.guided) stream.count_guided_step();
      const TokenOdds odds = token_odds(untilted_, choice.token);
      const double moved = settings_.tilt != nullptr ? divergence(tilted_, untilted_, odds) : 0;
      stream.take({choice.token, odds.log_probability, odds.entropy, moved, choice.score});
    } else {
      draw(stream, output);
    }
    if (!stream.waits()) continue;
    const Session::Row row{kFirstReply, stream.last()};
    output = next ? *next : session_.step({&row, 1}).front();
    stream.evaluated(output.state);
  }
  session_.drop(kFirstReply);
}

/// A whole reply, sentence by sentence: several continuations are drawn together, and the one goes on whose text the
/// head likes best.
void Generator::write_by_sentence(std::unique_ptr<ReplyStream>& stream, const Session::Output& output) {
  session_.fork(kPromptSequence, kFirstReply);
  Session::OwnedOutput next(output);
  for (std::size_t sentence = 0; !stream->finished(); ++sentence) {
    std::vector<Continuation> all(static_cast<std::size_t>(settings_.sentence_candidates));
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].sequence = kFirstBranch + static_cast<int>(i);
      all[i].stream = stream->branch(sentence, static_cast<int>(i));
      session_.fork(kFirstReply, all[i].sequence);
      draw(*all[i].stream, next.view());
    }
    end_sentences(all);
    std::vector<std::optional<double>> scores;
    for (const Continuation& one : all) scores.push_back(one.score(*settings_.reward->head));
    const std::size_t place = highest_score(scores);
    Continuation& best = all[place];
    session_.fork(best.sequence, kFirstReply);
    for (const Continuation& one : all) session_.drop(one.sequence);
    stream = std::move(best.stream);
    stream->chosen(scores[place]);
    next = std::move(best.next);
  }
  session_.drop(kFirstReply);
}

/// Draws each to the end of its sentence or of the reply, with one decode per token of all.
void Generator::end_sentences(std::span<Continuation> all) {
  for (;;) {
    std::vector<Session::Row> rows;
    std::vector<Continuation*> growing;
    for (Continuation& one : all) {
      if (!one.stream->waits()) continue;
      growing.push_back(&one);
      rows.push_back({one.sequence, one.stream->last()});
    }
    if (growing.empty()) return;
    const std::span<const Session::Output> outputs = session_.step(rows);
    for (std::size_t i = 0; i < growing.size(); ++i) {
      Continuation& one = *growing[i];
      one.stream->evaluated(outputs[i].state);
      if (one.stream->finished()) continue;
      if (one.stream->ends_sentence()) {
        one.next = Session::OwnedOutput(outputs[i]);
      } else {
        draw(*one.stream, outputs[i]);
      }
    }
  }
}

void Generator::generate(std::span<const EncodedPrompt> prompts, const Consumer& consumer) {
  const auto each = static_cast<std::size_t>(settings_.candidates);
  session_.clear();
  std::vector<Candidates> all(prompts.size());
  std::vector<Writing> active;
  std::vector<int> free_sequences;
  for (int sequence = options_.sequences - 1; sequence >= kFirstReply; --sequence) free_sequences.push_back(sequence);
  const auto put = [&](const Writing& writing) {
    Candidates& candidates = all[writing.prompt];
    candidates.replies[writing.candidate] = writing.stream->finish();
    if (--candidates.missing == 0) consumer(writing.prompt, std::move(candidates.replies));
  };
  Opened opened;
  std::size_t next_prompt = 0;
  std::size_t next_candidate = each;  // of the opened prompt, the one before next_prompt
  std::exception_ptr failure;         // of a prompt; those before it are written to their ends
  const auto begin_replies = [&] {
    while (!free_sequences.empty()) {
      if (next_candidate == each) {
        if (next_prompt == prompts.size()) return;
        opened = open(prompts[next_prompt]);
        all[next_prompt++] = {std::vector<Reply>(each), each};
        next_candidate = 0;
      }
      Writing writing{free_sequences.back(), next_prompt - 1, next_candidate, nullptr};
      writing.stream = std::make_unique<ReplyStream>(backbone_, settings_, prompts[writing.prompt],
                                                     static_cast<int>(next_candidate), opened.feature);
      ++next_candidate;
      if (settings_.branch) {
        write_guided(*writing.stream, opened.next.view());
      } else if (settings_.sentence_candidates > 0) {
        write_by_sentence(writing.stream, opened.next.view());
      } else {
        draw(*writing.stream, opened.next.view());
      }
      if (writing.stream->waits()) {
        session_.fork(kPromptSequence, writing.sequence);
        free_sequences.pop_back();
        active.push_back(std::move(writing));
      } else {
        put(writing);
      }
    }
  };
  for (;;) {
    if (!failure) {
      try {
        begin_replies();
      } catch (const Error& error) {
        if (error.code() != ErrorCode::BadInput) throw;
        failure = std::current_exception();
      }
    }
    if (active.empty()) break;
    step(active);
    std::erase_if(active, [&](const Writing& writing) {
      if (writing.stream->waits()) return false;
      session_.drop(writing.sequence);
      free_sequences.push_back(writing.sequence);
      put(writing);
      return true;
    });
  }
  if (failure) std::rethrow_exception(failure);
}

std::vector<Reply> Generator::generate(const EncodedPrompt& prompt) {
  std::vector<Reply> replies;
  generate({&prompt, 1}, [&](std::size_t, std::vector<Reply>&& candidates) { replies = std::move(candidates); });
  return replies;
}

}  // namespace coala
