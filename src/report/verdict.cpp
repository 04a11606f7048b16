#include "report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"
#include "report/values.h"

namespace coala {
namespace {

constexpr double kNothing = 0.05;             // so little ahead of its rival that more prompts would hardly tell
constexpr std::uint64_t kTooFewPrompts = 10;  // of which all may be right by chance
constexpr std::uint64_t kFewPrompts = 30;     // with which even a good head may look like its rival
constexpr std::uint64_t kSomePrompts = 100;   // whose interval is ten points to either side

/// Prompts that would tell an accuracy from its rival's: where the interval of so many begins above it.
std::uint64_t prompts_needed(double accuracy, double rival) {
  constexpr double kNormal = 1.96;
  const double ahead = accuracy - rival;
  if (ahead <= kNothing) return kSomePrompts;
  return static_cast<std::uint64_t>(std::ceil(kNormal * kNormal * rival * (1 - rival) / (ahead * ahead))) + 1;
}

/// Would a system prompt do?
std::string against_a_prompt(const AheadMetrics& ahead) {
  const auto [low, high] = ahead.ci95;
  const char* answer = low > 0    ? "Your wish as a system prompt would not do"
                       : high < 0 ? "Your wish as a system prompt does better than the head"
                                  : "Your wish as a system prompt may do as well";
  const bool judged = ahead.by == Comparer::Judge;
  return fmt::format("{}: {} gives guided replies {:+.2f} over those with it (95 %: {:+.2f} to {:+.2f}; {} prompts).",
                     answer, judged ? "the judge" : "the reward head, which learnt from the same data,", ahead.mean,
                     low, high, ahead.prompts);
}

void add_guidance(const GuidanceMetrics& guidance, std::vector<std::string>& remarks) {
  remarks.push_back(fmt::format(
      "At scale 1 guided replies differ from the model's own by {:.2f} nats per token (budget {:.2f}); of "
      "runs of four tokens {} are repeated, {} without guidance.",
      guidance.divergence, guidance.budget, percent(guidance.repetition), percent(guidance.unguided.repetition)));
  if (guidance.judge_mean && guidance.unguided.judge_mean) {
    remarks.push_back(fmt::format("The judge gives these replies {:.2f} in the mean, {:.2f} without guidance.",
                                  *guidance.judge_mean, *guidance.unguided.judge_mean));
  }
  if (guidance.ahead_of_asked) remarks.push_back(against_a_prompt(*guidance.ahead_of_asked));
}

}  // namespace

Verdict verdict_of(const RunMetrics& metrics) {
  const EvaluationMetrics& evaluation = metrics.evaluation;
  const bool guides = metrics.token_head.has_value();
  const auto& [accuracy, interval] = guides ? metrics.token_head->accuracy : evaluation.accuracy();
  const bool pairs = evaluation.pairs.has_value();
  const std::uint64_t rows = evaluation.rows;
  const std::uint64_t prompts = evaluation.prompts.value();
  const std::string who = guides ? "the head that guides" : "the head";
  const std::string what = pairs ? "pairs" : "responses";
  const std::string numbers = fmt::format("{} puts {:.0f} of {} held-out {} right ({}{})", who,
                                          accuracy * static_cast<double>(rows), grouped(rows), what, percent(accuracy),
                                          interval.is_known() ? ", 95 %: " + interval_text(interval, 100) : "");
  Verdict verdict;
  const double low = interval.is_known() ? interval.low : 0;
  // Of responses with labels a constant may be right often.
  const bool has_majority = evaluation.labelled && evaluation.labelled->majority_accuracy;
  const double rival = has_majority ? evaluation.labelled->majority_accuracy->value : 0.5;
  if (low > rival && prompts >= kTooFewPrompts) {
    verdict.kind = Verdict::Kind::Worked;
    verdict.sentence = fmt::format("It worked: {}.", numbers);
  } else if (accuracy > rival + kNothing || prompts < kFewPrompts) {
    verdict.kind = Verdict::Kind::TooFew;
    const std::uint64_t needed = std::max({prompts + 1, kTooFewPrompts, prompts_needed(accuracy, rival)});
    verdict.sentence =
        fmt::format("Too few held-out prompts to be sure: {}. About {} held-out prompts would tell; {} {} held out.",
                    numbers, grouped(needed), grouped(prompts), prompts == 1 ? "was" : "were");
  } else {
    verdict.kind = Verdict::Kind::DidNot;
    verdict.sentence = fmt::format(
        "It did not work: {}, and {}. Look at ten of the {} whether they show what is wanted; more of them may help.",
        numbers, pairs ? "a coin gets half of them" : fmt::format("a constant gets {}", percent(rival)), what);
  }
  if (guides && metrics.token_head->bias_does && accuracy > rival) {
    verdict.remarks.emplace_back(
        "Context adds nothing that these pairs show: a fixed bias on words tells held-out pairs apart as well "
        "(--guidance bias).");
  }
  if (metrics.guidance) add_guidance(*metrics.guidance, verdict.remarks);
  return verdict;
}

}  // namespace coala
