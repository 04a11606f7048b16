#include "eval/answer_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <utility>

#include "core/error.h"
#include "eval/intervals.h"
#include "eval/order_statistics.h"
#include "solver/loss.h"

namespace coala {
namespace {

constexpr std::size_t kMostDisputed = 10;

double deviation_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return values.size() < 2 ? 0 : std::sqrt(squares / static_cast<double>(values.size() - 1));
}

/// The rows of each prompt.
std::map<std::int64_t, std::vector<std::size_t>> rows_by_prompt(const FeatureSet& set) {
  std::map<std::int64_t, std::vector<std::size_t>> rows;
  for (std::size_t i = 0; i < set.rows(); ++i) rows[set.prompt_id[i]].push_back(i);
  return rows;
}

/// A line of a name and a figure, with its interval where that is known.
std::string line(const char* name, double value, const Interval& ci95 = kNoInterval, const char* unit = "") {
  std::string text = fmt::format("  {:<28} {:8.2f}{}", name, value, unit);
  if (ci95.is_known()) text += fmt::format("  [{:.2f}, {:.2f}]", ci95.low, ci95.high);
  return text + "\n";
}

constexpr const char* kNext =
    "`coala choose` makes pairs of them, of which `coala eval` says how often a head is right\n";

}  // namespace

bool are_unjudged(const FeatureSet& set) {
  if (set.kind == FeatureKind::Pairs) return false;
  const auto unjudged = static_cast<std::size_t>(std::ranges::count(set.labels, 0));
  if (unjudged != 0 && unjudged != set.rows()) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} of the {} answers are judged, the others are not", set.rows() - unjudged, set.rows()),
                "evaluate the two kinds by themselves");
  }
  return unjudged != 0;
}

AnswerMetrics answer_metrics(const FeatureSet& set, const Scores& scores, std::uint64_t seed) {
  std::vector<double> probability(scores.single.size());
  std::ranges::transform(scores.single, probability.begin(), sigmoid);

  AnswerMetrics metrics;
  metrics.rows = set.rows();
  metrics.score = {mean_of(scores.single), bootstrap_mean(scores.single, set.prompt_id, seed)};
  metrics.deviation = deviation_of(scores.single);
  metrics.low = quantile(scores.single, 0.05);
  metrics.median = quantile(scores.single, 0.5);
  metrics.high = quantile(scores.single, 0.95);
  metrics.probability = {mean_of(probability), bootstrap_mean(probability, set.prompt_id, seed)};
  if (!set.length.empty()) {
    const std::vector<double> length(set.length.begin(), set.length.end());
    metrics.length_correlation = if_finite(correlation(scores.single, length));
  }
  const auto by_prompt = rows_by_prompt(set);
  metrics.prompts = by_prompt.size();
  std::vector<double> ahead;
  std::vector<std::int64_t> prompts;
  for (const auto& [prompt, rows] : by_prompt) {
    if (rows.size() < 2) continue;
    std::vector<double> of_prompt;
    for (const std::size_t i : rows) of_prompt.push_back(scores.single[i]);
    ahead.push_back(std::ranges::max(of_prompt) - mean_of(of_prompt));
    prompts.push_back(prompt);
  }
  if (!ahead.empty()) metrics.choice = {ahead.size(), {mean_of(ahead), bootstrap_mean(ahead, prompts, seed)}};
  return metrics;
}

AgreementMetrics agreement_metrics(const FeatureSet& set, const Scores& first, const Scores& second,
                                   const std::vector<std::string>& ids) {
  struct Dispute {
    std::size_t by_first = 0;
    std::size_t by_second = 0;
    double size = 0;  ///< of the smaller margin, in units of its head's spread
  };
  const double first_spread = deviation_of(first.single);
  const double second_spread = deviation_of(second.single);
  std::vector<double> same;
  std::vector<std::int64_t> prompts;
  std::vector<Dispute> disputes;
  for (const auto& [prompt, rows] : rows_by_prompt(set)) {
    for (std::size_t a = 0; a < rows.size(); ++a) {
      for (std::size_t b = a + 1; b < rows.size(); ++b) {
        const double by_first = first.single[rows[a]] - first.single[rows[b]];
        const double by_second = second.single[rows[a]] - second.single[rows[b]];
        const double together = by_first * by_second;
        same.push_back(together > 0 ? 1.0 : together < 0 ? 0.0 : by_first == by_second ? 1.0 : 0.5);
        prompts.push_back(prompt);
        if (same.back() != 0) continue;
        const double size = std::min(std::abs(by_first) / first_spread, std::abs(by_second) / second_spread);
        disputes.push_back(by_first > 0 ? Dispute{rows[a], rows[b], size} : Dispute{rows[b], rows[a], size});
      }
    }
  }
  AgreementMetrics metrics;
  metrics.rows = set.rows();
  metrics.correlation = if_finite(correlation(first.single, second.single));
  metrics.choices = same.size();
  if (!same.empty()) metrics.same_order = Estimate{mean_of(same), proportion_interval(same, prompts)};
  std::ranges::stable_sort(disputes, std::greater(), &Dispute::size);
  disputes.resize(std::min(disputes.size(), kMostDisputed));
  const auto name = [&](std::size_t row) { return ids.empty() ? fmt::format("row {}", row) : ids[row]; };
  for (const Dispute& one : disputes) {
    metrics.disputed.push_back({name(one.by_first), name(one.by_second),
                                first.single[one.by_first] - first.single[one.by_second],
                                second.single[one.by_second] - second.single[one.by_first]});
  }
  return metrics;
}

std::string answer_summary(const AnswerMetrics& metrics) {
  std::string text =
      fmt::format("{} answers to {} prompts that nobody has judged: how often the head is right, they cannot tell\n",
                  metrics.rows, metrics.prompts);
  text += line("score", metrics.score.value, metrics.score.ci95);
  text += line("  standard deviation", metrics.deviation);
  text += fmt::format("  {:<28} {:8.2f}, {:.2f}, {:.2f}\n", "  5 %, 50 %, 95 % below", metrics.low, metrics.median,
                      metrics.high);
  text += line("probability", metrics.probability.value, metrics.probability.ci95);
  if (metrics.length_correlation) text += line("score-length correlation", *metrics.length_correlation);
  if (metrics.choice) {
    text += line("best ahead of the mean", metrics.choice->best_ahead.value, metrics.choice->best_ahead.ci95);
    text += fmt::format("    of {} prompts with several answers\n", metrics.choice->prompts);
  }
  return text + kNext;
}

std::string agreement_summary(const AgreementMetrics& metrics) {
  std::string text =
      fmt::format("{} answers that nobody has judged: which head is right, they cannot tell\n", metrics.rows);
  if (metrics.correlation) text += line("correlation of the scores", *metrics.correlation);
  if (metrics.same_order) {
    const Interval& ci95 = metrics.same_order->ci95;
    text += line("put into the same order", 100 * metrics.same_order->value, {100 * ci95.low, 100 * ci95.high}, " %");
    text += fmt::format("    of {} pairs of answers to one prompt\n", metrics.choices);
  }
  for (const DisputedAnswers& one : metrics.disputed) {
    text += fmt::format("  the first prefers {} by {:.3f}, the second {} by {:.3f}\n", one.preferred_by_first,
                        one.first_margin, one.preferred_by_second, one.second_margin);
  }
  return text + kNext;
}

}  // namespace coala
