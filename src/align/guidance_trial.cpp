#include "align/guidance_trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "data/instruction.h"
#include "decode/diversity.h"
#include "decode/named_words.h"
#include "decode/parallel_generator.h"
#include "decode/token_tilt.h"
#include "eval/intervals.h"

namespace coala {
namespace {

/// Replies of a trial: as many as are written together, with one decode per token of all.
constexpr std::size_t kReplies = 15;
constexpr std::size_t kTokens = 32;
constexpr int kTrials = 3;
/// Part of the budget that is aimed at; what is this near to it is near enough.
constexpr double kAim = 0.88;
constexpr double kNear = 0.72;
/// What may be repeated: so much more than without guidance, and a share that is chance in so few tokens.
constexpr double kRepetitionRatio = 1.2;
constexpr double kRepetitionChance = 0.02;

/// Does a reply fit behind it?
bool leaves_room(const Backbone& backbone, const EncodedPrompt& prompt) {
  return prompt.tokens.size() + kTokens <= backbone.identity().context_tokens;
}

/// Prompts that can be answered, spread evenly over those that are given.
/// @param kept  gets them
std::vector<EncodedPrompt> encode(const Backbone& backbone, std::span<const Prompt> prompts, TemplateMode mode,
                                  std::vector<Prompt>& kept) {
  std::vector<EncodedPrompt> encoded;
  const std::size_t wanted = std::min(kReplies, prompts.size());
  for (std::size_t i = 0; i < wanted; ++i) {
    throw_if_interrupted();
    try {
      const Prompt& prompt = prompts[i * prompts.size() / wanted];
      EncodedPrompt tokens = backbone.encode_prompt(prompt, mode, Thinking::Off);
      if (tokens.tokens.empty() || !leaves_room(backbone, tokens)) continue;
      encoded.push_back(std::move(tokens));
      kept.push_back(prompt);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
    }
  }
  return encoded;
}

/// Are these replies clearly worse than the model's own by the judge?
bool marked_down(const GuidedReplies& guided, const GuidedReplies& unguided) {
  return !guided.marks.empty() && ahead_of(guided, unguided).value_or(Ahead{}).high < 0;
}

class Trial {
 public:
  /// @param asked  the prompts as the judge gets them
  Trial(const Backbone& backbone, const TokenHead& head, const OutputMatrix& output, std::vector<EncodedPrompt> prompts,
        std::span<const Prompt> asked, const GuidanceTrialSettings& settings)
      : backbone_(backbone),
        head_(head),
        output_(output),
        prompts_(std::move(prompts)),
        asked_(asked),
        judge_(settings.judge),
        reward_(settings.reward),
        wish_(settings.wish),
        mode_(settings.template_mode),
        threads_(settings.threads) {
    generation_.max_tokens = kTokens;
    generation_.replies = static_cast<int>(std::max<std::size_t>(1, kReplies / prompts_.size()));
    generation_.seed = settings.seed;
  }

  GuidedReplies unguided() const { return write(prompts_, 0, "replies without guidance", {}); }
  GuidedReplies guided(double scale) const {
    return write(prompts_, scale, fmt::format("replies at scale {:.2f}", scale), reward_);
  }
  /// With the wish in the system message; nothing where a prompt or the model's template takes none.
  std::optional<GuidedReplies> asked() const {
    std::vector<EncodedPrompt> prompts;
    try {
      for (const Prompt& prompt : asked_) {
        prompts.push_back(backbone_.encode_prompt(instructed(prompt, wish_), mode_, Thinking::Off));
        if (leaves_room(backbone_, prompts.back())) continue;
        throw Error(ErrorCode::BadInput, "a prompt with it does not fit into the model's context");
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
      log_warning(fmt::format("the wish could not be tried as a system prompt: {}", error.what()));
      return std::nullopt;
    }
    return write(prompts, 0, "replies with the wish as a system prompt", reward_);
  }

 private:
  /// @param reward  scores the replies, or none
  GuidedReplies write(const std::vector<EncodedPrompt>& prompts, double scale, const std::string& what,
                      const ReplyMarks& reward) const {
    GuidedReplies replies;
    replies.scale = scale;
    GenerationSettings generation = generation_;
    std::optional<TokenTilt> tilt;
    if (scale != 0) generation.tilt = &tilt.emplace(head_, output_, scale);
    Progress progress(what, prompts.size(), "prompts");
    double drawn = 0;
    std::vector<std::string> to_judge;
    ParallelGenerator generator(backbone_, generation, prompts, threads_);
    generator.generate([&](std::size_t, std::vector<Reply>&& written) {
      const bool cut = written.front().finish == Finish::Length;
      to_judge.push_back(written.front().text);
      replies.texts.push_back(written.front().text + (cut ? " …" : ""));
      for (Reply& reply : written) {
        replies.divergence += reply.divergence;
        replies.entropy += reply.entropy;
        drawn += static_cast<double>(reply.log_probability_tokens);
        replies.tokens.push_back(std::move(reply.tokens));
      }
      progress.advance(1);
    });
    replies.divergence /= drawn;
    replies.entropy /= drawn;
    replies.repetition = diversity(replies.tokens).repetition;
    if (judge_) replies.marks = judge_(asked_, to_judge);
    if (reward) replies.scores = reward(asked_, to_judge);
    return replies;
  }

  const Backbone& backbone_;
  const TokenHead& head_;
  const OutputMatrix& output_;
  std::vector<EncodedPrompt> prompts_;
  std::span<const Prompt> asked_;
  ReplyMarks judge_;
  ReplyMarks reward_;
  std::string wish_;
  TemplateMode mode_;
  GenerationSettings generation_;
  int threads_;
};

/// How often the tokens of both kinds of replies occur.
std::map<Token, std::size_t> occurrences_in(const GuidanceTrial& trial) {
  std::map<Token, std::size_t> occurrences;
  for (const GuidedReplies* replies : {&trial.unguided, &trial.tried[trial.chosen]}) {
    for (const std::vector<Token>& tokens : replies->tokens) {
      for (const Token token : tokens) ++occurrences[token];
    }
  }
  return occurrences;
}

}  // namespace

std::optional<Ahead> ahead_of(const GuidedReplies& replies, const GuidedReplies& others) {
  const bool judged = !replies.marks.empty() && !others.marks.empty();
  const std::vector<double>& better = judged ? replies.marks : replies.scores;
  const std::vector<double>& worse = judged ? others.marks : others.scores;
  double count = 0;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < better.size() && i < worse.size(); ++i) {
    const double gain = better[i] - worse[i];
    if (std::isnan(gain)) continue;
    count += 1;
    sum += gain;
    squares += gain * gain;
  }
  if (count < 2) return std::nullopt;
  const double mean = sum / count;
  const double variance = std::max(0.0, squares / count - mean * mean) / (count - 1);
  const double half = student_quantile(count - 1) * std::sqrt(variance);
  return Ahead{mean, mean - half, mean + half, static_cast<std::size_t>(count)};
}

GuidanceTrial try_guidance(const Backbone& backbone, const TokenHead& head, const OutputMatrix& output,
                           std::span<const double> mean_state, std::span<const Prompt> prompts,
                           const GuidanceTrialSettings& settings) {
  GuidanceTrial result;
  std::vector<EncodedPrompt> encoded = encode(backbone, prompts, settings.template_mode, result.prompts);
  if (encoded.empty()) return result;
  const Trial trial(backbone, head, output, std::move(encoded), result.prompts, settings);
  result.unguided = trial.unguided();
  if (!settings.wish.empty()) result.asked = trial.asked();
  result.budget = settings.budget * budget_share(settings.reliability) * result.unguided.entropy;
  if (!(result.budget > 0)) return result;
  const double allowed = kRepetitionRatio * result.unguided.repetition + kRepetitionChance;
  // To the second order the divergence is the variance of what the head says, over two.
  double scale = std::sqrt(2 * kAim * result.budget) / kTokenUnit;
  for (int k = 0; k < kTrials; ++k) {
    result.tried.push_back(trial.guided(scale));
    const GuidedReplies& tried = result.tried.back();
    const bool down = marked_down(tried, result.unguided);
    const bool within = tried.divergence <= result.budget && tried.repetition <= allowed && !down;
    if (within && scale > result.scale) {
      result.scale = scale;
      result.chosen = result.tried.size() - 1;
    }
    if (within && tried.divergence >= kNear * result.budget) break;
    const double step = tried.divergence > 0 ? std::sqrt(kAim * result.budget / tried.divergence) : 2;
    const double most = down ? 0.5 : tried.repetition > allowed ? 0.75 : 2.0;
    scale *= std::clamp(std::min(step, most), 0.25, 2.0);
  }
  if (result.scale == 0) {  // weaker than all that were tried, by the last of them
    result.scale = scale;
    result.chosen = result.tried.size() - 1;
  }
  NamedWords words = name_words(backbone, head, output, mean_state, occurrences_in(result));
  result.raised = std::move(words.raised);
  result.lowered = std::move(words.lowered);
  return result;
}

}  // namespace coala
