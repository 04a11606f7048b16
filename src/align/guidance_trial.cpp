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
      const std::size_t count = tokens.tokens.size();
      if (count == 0 || count + kTokens > backbone.identity().context_tokens) continue;
      encoded.push_back(std::move(tokens));
      kept.push_back(prompt);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::BadInput) throw;
    }
  }
  return encoded;
}

/// Are these replies clearly worse than the model's own: is Student's interval of the prompts' differences below 0?
bool marked_down(const GuidedReplies& guided, const GuidedReplies& unguided) {
  const auto n = static_cast<double>(guided.marks.size());
  if (n < 2) return false;
  double sum = 0;
  double squares = 0;
  for (std::size_t i = 0; i < guided.marks.size(); ++i) {
    const double gain = guided.marks[i] - unguided.marks[i];
    sum += gain;
    squares += gain * gain;
  }
  const double mean = sum / n;
  const double variance = std::max(0.0, squares / n - mean * mean) / (n - 1);
  return mean + student_quantile(n - 1) * std::sqrt(variance) < 0;
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
        threads_(settings.threads) {
    generation_.max_tokens = kTokens;
    generation_.candidates = static_cast<int>(std::max<std::size_t>(1, kReplies / prompts_.size()));
    generation_.seed = settings.seed;
  }

  GuidedReplies write(double scale) const {
    GuidedReplies replies;
    replies.scale = scale;
    GenerationSettings generation = generation_;
    std::optional<TokenTilt> tilt;
    if (scale != 0) generation.tilt = &tilt.emplace(head_, output_, scale);
    Progress progress(scale != 0 ? fmt::format("replies at scale {:.2f}", scale) : "replies without guidance",
                      prompts_.size(), "prompts");
    double drawn = 0;
    std::vector<std::string> to_judge;
    ParallelGenerator generator(backbone_, generation, prompts_, threads_);
    generator.generate([&](std::size_t, std::vector<Reply>&& candidates) {
      const bool cut = candidates.front().finish == Finish::Length;
      to_judge.push_back(candidates.front().text);
      replies.texts.push_back(candidates.front().text + (cut ? " …" : ""));
      for (Reply& reply : candidates) {
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
    return replies;
  }

 private:
  const Backbone& backbone_;
  const TokenHead& head_;
  const OutputMatrix& output_;
  std::vector<EncodedPrompt> prompts_;
  std::span<const Prompt> asked_;
  ReplyMarks judge_;
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

GuidanceTrial try_guidance(const Backbone& backbone, const TokenHead& head, const OutputMatrix& output,
                           std::span<const double> mean_state, std::span<const Prompt> prompts,
                           const GuidanceTrialSettings& settings) {
  GuidanceTrial result;
  std::vector<EncodedPrompt> encoded = encode(backbone, prompts, settings.template_mode, result.prompts);
  if (encoded.empty()) return result;
  const Trial trial(backbone, head, output, std::move(encoded), result.prompts, settings);
  result.unguided = trial.write(0);
  result.budget = settings.budget * result.unguided.entropy * (1 + settings.reliability) / 2;
  if (!(result.budget > 0)) return result;
  const double allowed = kRepetitionRatio * result.unguided.repetition + kRepetitionChance;
  // To the second order the divergence is the variance of what the head says, over two.
  double scale = std::sqrt(2 * kAim * result.budget) / kTokenUnit;
  for (int k = 0; k < kTrials; ++k) {
    result.tried.push_back(trial.write(scale));
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
