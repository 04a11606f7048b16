#include "decode/solo_writer.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "decode/prompt_opener.h"
#include "lm/token_odds.h"

namespace coala {
namespace {

// Sequences of the session: the prompt, the reply, and its branches or continuations.
constexpr int kPromptSequence = 0;
constexpr int kReply = 1;
constexpr int kFirstBranch = 2;

SessionOptions session_options(const Backbone& backbone, const GenerationSettings& settings,
                               std::size_t longest_prompt_tokens, int threads) {
  const std::size_t context = backbone.identity().context_tokens;
  const std::size_t prompt = std::clamp<std::size_t>(longest_prompt_tokens, 1, context);
  const std::size_t reply = std::min(settings.max_tokens, context - prompt);
  if (settings.branch) {
    const int branches = BranchGuide::branches(backbone, *settings.branch);
    const auto ahead = static_cast<std::size_t>(branches * settings.branch->look_ahead);
    return {kFirstBranch + branches, prompt + reply + ahead, threads};
  }
  // Each continuation may be all that is left of the reply.
  const auto continuations = static_cast<std::size_t>(settings.sentence_candidates);
  return {kFirstBranch + settings.sentence_candidates, prompt + (continuations + 1) * reply, threads};
}

}  // namespace

/// One way that a reply may go on, and what follows it.
struct SoloWriter::Continuation {
  int sequence = 0;
  std::unique_ptr<ReplyStream> stream;
  Session::OwnedOutput next;

  std::optional<double> score(const Head& head) const {
    const PooledState& feature = stream->feature();
    return feature.empty() ? std::nullopt : std::optional(head.score(feature.feature()));
  }
};

SoloWriter::SoloWriter(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
                       int threads)
    : backbone_(backbone),
      settings_(settings),
      session_(backbone, session_options(backbone, settings, longest_prompt_tokens, threads)) {
  if (settings_.branch) {
    guide_.emplace(backbone_, session_, *settings_.reward, *settings_.branch, kFirstBranch, settings_.tilt);
  }
}

std::size_t SoloWriter::context_bytes(const Backbone& backbone, const GenerationSettings& settings,
                                      std::size_t longest_prompt_tokens) {
  return Session::context_bytes(backbone, session_options(backbone, settings, longest_prompt_tokens, 1));
}

std::vector<Reply> SoloWriter::write(const EncodedPrompt& prompt) {
  PromptOpener opener(backbone_, settings_, prompt);
  while (!opener.ready()) opener.advance(session_, kPromptSequence, std::numeric_limits<std::size_t>::max());
  std::vector<Reply> replies;
  for (int candidate = 0; candidate < settings_.candidates; ++candidate) {
    auto stream = std::make_unique<ReplyStream>(backbone_, settings_, prompt, candidate, opener.feature());
    session_.fork(kPromptSequence, kReply);
    if (settings_.branch) {
      write_branched(*stream, opener.next().view());
    } else {
      write_by_sentence(stream, opener.next().view());
    }
    session_.drop(kReply);
    replies.push_back(stream->finish());
  }
  return replies;
}

void SoloWriter::draw(ReplyStream& stream, const Session::Output& output) {
  drawer_.draw(stream, output, settings_.tilt, session_.threads());
}

/// A whole reply with branch guidance.
void SoloWriter::write_branched(ReplyStream& stream, Session::Output output) {
  const auto every = static_cast<std::size_t>(settings_.branch->every);
  while (!stream.finished()) {
    std::optional<Session::Output> next;
    // Without a scale the scores would change nothing but, by rounding, the winner's logits.
    if (settings_.branch->scale != 0 && (stream.tokens().size() + 1) % every == 0) {
      untilted_.assign(output.logits.begin(), output.logits.end());
      const std::span<const float> logits = drawer_.tilted(output, settings_.tilt, session_.threads());
      const BranchChoice choice = guide_->choose(kReply, stream.feature(), stream.sampler(), logits);
      next = choice.next;
      if (choice.guided) stream.count_guided_step();
      const TokenOdds odds = token_odds(untilted_, choice.token);
      const double moved = settings_.tilt != nullptr ? divergence(logits, untilted_, odds) : 0;
      stream.take({choice.token, odds.log_probability, odds.entropy, moved, choice.score});
    } else {
      draw(stream, output);
    }
    if (!stream.waits()) continue;
    const Session::Row row{kReply, stream.last()};
    output = next ? *next : session_.step({&row, 1}).front();
    stream.evaluated(output.state);
  }
}

/// A whole reply, sentence by sentence: several continuations are drawn together, and the one goes on whose text the
/// head likes best.
void SoloWriter::write_by_sentence(std::unique_ptr<ReplyStream>& stream, const Session::Output& output) {
  Session::OwnedOutput next(output);
  for (std::size_t sentence = 0; !stream->finished(); ++sentence) {
    std::vector<Continuation> all(static_cast<std::size_t>(settings_.sentence_candidates));
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].sequence = kFirstBranch + static_cast<int>(i);
      all[i].stream = stream->branch(sentence, static_cast<int>(i));
      session_.fork(kReply, all[i].sequence);
      draw(*all[i].stream, next.view());
    }
    end_sentences(all);
    std::vector<std::optional<double>> scores;
    for (const Continuation& one : all) scores.push_back(one.score(*settings_.reward->head));
    const std::size_t place = highest_score(scores);
    Continuation& best = all[place];
    session_.fork(best.sequence, kReply);
    for (const Continuation& one : all) session_.drop(one.sequence);
    stream = std::move(best.stream);
    stream->chosen(scores[place]);
    next = std::move(best.next);
  }
}

/// Draws each to the end of its sentence or of the reply, with one decode per token of all.
void SoloWriter::end_sentences(std::span<Continuation> all) {
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

}  // namespace coala
