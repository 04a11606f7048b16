#include "eval/head_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "eval/comparison.h"
#include "eval/intervals.h"

namespace coala {
namespace {

constexpr std::size_t kMostExamples = 10;

/// By how much the right answer is ahead.
std::vector<double> margins_of(const FeatureSet& set, const Scores& scores) {
  std::vector<double> margins(set.rows());
  for (std::size_t i = 0; i < margins.size(); ++i) {
    margins[i] =
        set.kind == FeatureKind::Pairs ? scores.chosen[i] - scores.rejected[i] : set.labels[i] * scores.single[i];
  }
  return margins;
}

std::vector<double> right_of(const std::vector<double>& margins) {
  std::vector<double> right(margins.size());
  std::ranges::transform(margins, right.begin(), [](double margin) { return margin > 0 ? 1.0 : 0.0; });
  return right;
}

double spread(const std::vector<double>& margins) {
  double squares = 0;
  for (const double margin : margins) squares += margin * margin;
  return squares > 0 ? std::sqrt(squares / static_cast<double>(margins.size())) : 1;
}

Estimate accuracy_of(const std::vector<double>& right, const FeatureSet& set) {
  return {std::accumulate(right.begin(), right.end(), 0.0) / static_cast<double>(right.size()),
          proportion_interval(right, set.prompt_id)};
}

}  // namespace

HeadComparison compare_heads(const FeatureSet& set, const Scores& first, const Scores& second,
                             const std::vector<std::string>& ids, std::uint64_t seed) {
  const std::vector<double> first_margins = margins_of(set, first);
  const std::vector<double> second_margins = margins_of(set, second);
  const std::vector<double> first_right = right_of(first_margins);
  const std::vector<double> second_right = right_of(second_margins);
  const PairedComparison paired = compare_paired(first_right, second_right, set.prompt_id, seed);

  HeadComparison result;
  result.rows = set.rows();
  result.first_accuracy = accuracy_of(first_right, set);
  result.second_accuracy = accuracy_of(second_right, set);
  result.first_only_right = paired.first_only;
  result.second_only_right = paired.second_only;
  result.difference = {paired.difference, paired.difference_ci95};
  result.p_value = paired.p_value;
  result.margin_correlation = if_finite(correlation(first_margins, second_margins));

  const double first_spread = spread(first_margins);
  const double second_spread = spread(second_margins);
  const auto disagreement = [&](std::size_t i) {
    return std::abs(first_margins[i] / first_spread - second_margins[i] / second_spread);
  };
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    if (first_right[i] != second_right[i]) rows.push_back(i);
  }
  std::ranges::stable_sort(rows, [&](std::size_t a, std::size_t b) { return disagreement(a) > disagreement(b); });
  rows.resize(std::min(rows.size(), kMostExamples));
  for (const std::size_t i : rows) {
    result.disagreements.push_back({i, ids.empty() ? std::nullopt : std::optional(ids[i]),
                                    first_right[i] > 0 ? ComparedHead::First : ComparedHead::Second, first_margins[i],
                                    second_margins[i]});
  }
  return result;
}

std::string comparison_summary(const HeadComparison& comparison) {
  std::string text = fmt::format("rows: {}\n", comparison.rows);
  const auto share = [&](const Estimate& estimate, const char* name) {
    text += fmt::format("  {:<28} {:8.2f} %", name, 100 * estimate.value);
    const auto [low, high] = estimate.ci95;
    if (estimate.ci95.is_known()) text += fmt::format("  [{:.2f}, {:.2f}]", 100 * low, 100 * high);
    text += "\n";
  };
  share(comparison.first_accuracy, "first head");
  share(comparison.second_accuracy, "second head");
  share(comparison.difference, "first minus second");
  text += fmt::format("  only the first is right on {} rows, only the second on {}; p = {:.3g} (exact, paired)\n",
                      comparison.first_only_right, comparison.second_only_right, comparison.p_value);
  for (const Disagreement& row : comparison.disagreements) {
    text +=
        fmt::format("  {}: {} is right, margins {:.3f} and {:.3f}\n", row.id ? *row.id : fmt::format("row {}", row.row),
                    name_of(row.right), row.first_margin, row.second_margin);
  }
  return text;
}

}  // namespace coala
