#include "report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"

namespace coala {
namespace {

constexpr double kNothing = 0.05;            // so little ahead of its rival that more prompts would hardly tell
constexpr std::uint64_t kFewPrompts = 30;    // with which even a good head may look like its rival
constexpr std::uint64_t kSomePrompts = 100;  // whose interval is ten points to either side

/// Prompts that would tell an accuracy from its rival's: where the interval of so many begins above it.
std::uint64_t prompts_needed(double accuracy, double rival) {
  constexpr double kNormal = 1.96;
  const double ahead = accuracy - rival;
  if (ahead <= kNothing) return kSomePrompts;
  return static_cast<std::uint64_t>(std::ceil(kNormal * kNormal * rival * (1 - rival) / (ahead * ahead))) + 1;
}

/// Would a system prompt do?
std::string against_a_prompt(const Json& ahead) {
  const double low = ahead.at("ci95").at(0).get<double>();
  const double high = ahead.at("ci95").at(1).get<double>();
  const char* answer = low > 0    ? "Your wish as a system prompt would not do"
                       : high < 0 ? "Your wish as a system prompt does better than the head"
                                  : "Your wish as a system prompt may do as well";
  const bool judged = ahead.at("by") == "judge";
  return fmt::format("{}: {} gives guided replies {:+.2f} over those with it (95 %: {:+.2f} to {:+.2f}; {} prompts).",
                     answer, judged ? "the judge" : "the reward head, which learnt from the same data,",
                     ahead.at("mean").get<double>(), low, high, ahead.at("prompts").get<std::size_t>());
}

}  // namespace

Verdict verdict_of(const Json& metrics) {
  const bool guides = metrics.contains("token_head");
  const Json& judged = guides ? metrics.at("token_head") : metrics;
  const std::string key = guides ? "accuracy" : accuracy_key(metrics);
  const bool pairs = has_pairs(metrics);
  const double accuracy = judged.at(key).get<double>();
  const auto rows = metrics.at("eval_rows").get<std::uint64_t>();
  const auto prompts = metrics.at("eval_prompts").get<std::uint64_t>();
  const std::string who = guides ? "the head that guides" : "the head";
  const std::string what = pairs ? "pairs" : "responses";
  const std::string numbers = fmt::format(
      "{} puts {:.0f} of {} held-out {} right ({}{})", who, accuracy * static_cast<double>(rows), grouped(rows), what,
      percent(accuracy), judged.contains(key + "_ci95") ? ", 95 %: " + interval_text(judged, key, 100) : "");
  Verdict verdict;
  const double low = judged.contains(key + "_ci95") ? judged.at(key + "_ci95").at(0).get<double>() : 0;
  // Of responses with labels a constant may be right often.
  const double rival = metrics.value("baseline/majority_accuracy", 0.5);
  if (low > rival) {
    verdict.kind = Verdict::Kind::Worked;
    verdict.sentence = fmt::format("It worked: {}.", numbers);
  } else if (accuracy > rival + kNothing || prompts < kFewPrompts) {
    verdict.kind = Verdict::Kind::TooFew;
    verdict.sentence = fmt::format(
        "Too few held-out prompts to be sure: {}. About {} held-out prompts would tell; {} "
        "were held out.",
        numbers, grouped(std::max(prompts + 1, prompts_needed(accuracy, rival))), grouped(prompts));
  } else {
    verdict.kind = Verdict::Kind::DidNot;
    verdict.sentence = fmt::format(
        "It did not work: {}, and {}. Look at ten of the {} whether they show what is wanted; more of them may help.",
        numbers, pairs ? "a coin gets half of them" : fmt::format("a constant gets {}", percent(rival)), what);
  }
  if (guides && judged.value("bias_does", false)) {
    verdict.remarks.emplace_back(
        "Context adds nothing that these pairs show: a fixed bias on words tells held-out pairs apart as well "
        "(--guidance bias).");
  }
  if (metrics.contains("guidance")) {
    const Json& guidance = metrics.at("guidance");
    verdict.remarks.push_back(fmt::format(
        "At scale 1 guided replies differ from the model's own by {:.2f} nats per token (budget {:.2f}); of "
        "runs of four tokens {} are repeated, {} without guidance.",
        guidance.at("divergence").get<double>(), guidance.at("budget").get<double>(),
        percent(guidance.at("repetition").get<double>()),
        percent(guidance.at("unguided").at("repetition").get<double>())));
    if (guidance.contains("judge_mean")) {
      verdict.remarks.push_back(
          fmt::format("The judge gives these replies {:.2f} in the mean, {:.2f} without guidance.",
                      guidance.at("judge_mean").get<double>(), guidance.at("unguided").at("judge_mean").get<double>()));
    }
    if (guidance.contains("ahead_of_asked")) verdict.remarks.push_back(against_a_prompt(guidance.at("ahead_of_asked")));
  }
  return verdict;
}

}  // namespace coala
