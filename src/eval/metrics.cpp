#include "eval/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "core/error.h"
#include "eval/calibration.h"
#include "eval/comparison.h"
#include "eval/discrimination.h"
#include "eval/intervals.h"
#include "eval/length_control.h"
#include "eval/subsets.h"
#include "features/length_difference.h"
#include "head/guiding_head.h"
#include "solver/loss.h"

namespace coala {
namespace {

/// Means of rows with their intervals.
class Rows {
 public:
  Rows(const std::vector<std::int64_t>& prompts, std::uint64_t seed) : prompts_(prompts), seed_(seed) {}

  Estimate mean(const std::vector<double>& values) const {
    return {mean_of(values), bootstrap_mean(values, prompts_, seed_)};
  }

  /// A share of rows; entries are 0, 1, or 1/2 for a tie that counts half.
  Estimate proportion(const std::vector<double>& values) const {
    return {mean_of(values), proportion_interval(values, prompts_)};
  }

  /// The head beside the baseline, with the exact paired test.
  /// @param head_right, baseline_right  1 for a row that is right, 0 for one that is not
  LogisticMetrics compare(const std::vector<double>& head_right, const std::vector<double>& baseline_right) const {
    const PairedComparison comparison = compare_paired(head_right, baseline_right, prompts_, seed_);
    return {proportion(baseline_right),
            comparison.first_only,
            comparison.second_only,
            {comparison.difference, comparison.difference_ci95},
            comparison.p_value};
  }

  CalibrationMetrics calibration(const std::vector<double>& margins) const {
    Calibration result = calibrate(margins, prompts_, seed_);
    return {result.temperature, result.raw.expected_error, result.scaled.expected_error, std::move(result.raw.bins),
            std::move(result.scaled.bins)};
  }

  const std::vector<std::int64_t>& prompts() const { return prompts_; }

 private:
  const std::vector<std::int64_t>& prompts_;
  std::uint64_t seed_;
};

double tie_is_half(double difference) {
  return difference > 0 ? 1.0 : difference == 0 ? 0.5 : 0.0;
}

/// What each row says by itself, [n].
struct RowNumbers {
  std::vector<double> margins;  ///< by how much the right answer is ahead
  std::vector<double> right;    ///< 1 or 0
  std::vector<double> losses;
};

RowNumbers row_numbers(const FeatureSet& set, const Scores& scores) {
  RowNumbers numbers;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    const double margin =
        set.kind == FeatureKind::Pairs ? scores.chosen[i] - scores.rejected[i] : set.labels[i] * scores.single[i];
    numbers.margins.push_back(margin);
    numbers.right.push_back(margin > 0 ? 1.0 : 0.0);
    numbers.losses.push_back(softplus(-margin));
  }
  return numbers;
}

/// What rows of both kinds have.
EvaluationMetrics common_metrics(const Rows& rows, const FeatureSet& set, const RowNumbers& numbers) {
  const auto n = static_cast<double>(set.rows());
  EvaluationMetrics metrics;
  metrics.loss = rows.mean(numbers.losses);
  metrics.ties = static_cast<std::uint64_t>(std::ranges::count(numbers.margins, 0.0));
  // A coin knows no ties. Its interval is where the accuracy of a coin on these rows would lie.
  metrics.coin = {0.5, wilson_interval(n / 2, n)};
  metrics.calibration = rows.calibration(numbers.margins);
  metrics.subsets = accuracy_by_subset(set, numbers.right);
  metrics.rows = set.rows();
  return metrics;
}

EvaluationMetrics pair_metrics(const Rows& rows, const FeatureSet& set, const Scores& scores,
                               const BaselineScores& baseline) {
  const std::size_t n = set.rows();
  const RowNumbers numbers = row_numbers(set, scores);
  std::vector<double> probability(n);
  std::ranges::transform(numbers.margins, probability.begin(), sigmoid);
  EvaluationMetrics metrics = common_metrics(rows, set, numbers);
  metrics.pairs = {rows.proportion(numbers.right), rows.mean(numbers.margins), rows.mean(scores.chosen),
                   rows.mean(scores.rejected), rows.mean(probability)};
  if (!baseline.logistic.chosen.empty()) {
    std::vector<double> logistic_right(n);
    for (std::size_t i = 0; i < n; ++i) {
      logistic_right[i] = baseline.logistic.chosen[i] > baseline.logistic.rejected[i] ? 1.0 : 0.0;
    }
    metrics.logistic = rows.compare(numbers.right, logistic_right);
  }
  if (!set.length_chosen.empty()) {
    std::vector<double> longer(n);
    std::vector<double> length_difference(n);
    for (std::size_t i = 0; i < n; ++i) {
      length_difference[i] = static_cast<double>(set.length_chosen[i]) - set.length_rejected[i];
      longer[i] = tie_is_half(length_difference[i]);
    }
    const LengthControlled controlled =
        length_controlled_accuracy(numbers.right, bounded_length_difference(set), rows.prompts());
    metrics.length = {rows.proportion(longer), if_finite(correlation(numbers.margins, length_difference)),
                      Estimate{controlled.accuracy, controlled.ci95}, if_finite(controlled.slope)};
  }
  return metrics;
}

EvaluationMetrics labelled_metrics(const Rows& rows, const FeatureSet& set, const Scores& scores,
                                   const BaselineScores& baseline) {
  const std::size_t n = set.rows();
  const RowNumbers numbers = row_numbers(set, scores);
  EvaluationMetrics metrics = common_metrics(rows, set, numbers);
  LabelledMetrics& labelled = metrics.labelled.emplace();
  labelled.accuracy = rows.proportion(numbers.right);
  if (has_both_labels(set.labels)) {
    const double majority = majority_share(set.labels);
    labelled.majority_accuracy = {majority, wilson_interval(majority * static_cast<double>(n), static_cast<double>(n))};
    labelled.balanced_accuracy = balanced_accuracy(numbers.right, set.labels, set.prompt_id);
    labelled.area = area_under_curve(scores.single, set.labels, set.prompt_id);
  }
  if (!baseline.logistic.single.empty()) {
    std::vector<double> logistic_right(n);
    for (std::size_t i = 0; i < n; ++i) {
      logistic_right[i] = set.labels[i] * baseline.logistic.single[i] > 0 ? 1.0 : 0.0;
    }
    metrics.logistic = rows.compare(numbers.right, logistic_right);
  }
  if (!set.length.empty()) {
    const std::vector<double> length(set.length.begin(), set.length.end());
    metrics.length.correlation = if_finite(correlation(scores.single, length));
  }
  return metrics;
}

}  // namespace

Scores score_features(const Head& head, const FeatureSet& set) {
  check_scores(head);
  Scores scores;
  const auto score_all = [&](const char* name, const StoredRows& rows, std::vector<double>& out) {
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      out.push_back(head.score(rows.row(i)));
      if (std::isfinite(out.back())) continue;
      throw Error(ErrorCode::BadInput,
                  fmt::format("{}: the score of row {} of '{}' (counted from 0) is not finite", set.path, i, name),
                  "its features are far outside the range that the head was trained on");
    }
  };
  score_all("chosen", set.chosen, scores.chosen);
  score_all("rejected", set.rejected, scores.rejected);
  score_all("features", set.features, scores.single);
  return scores;
}

EvaluationMetrics evaluation_metrics(const FeatureSet& set, const Scores& scores, const BaselineScores& baseline,
                                     std::uint64_t seed) {
  const Rows rows(set.prompt_id, seed);
  return set.kind == FeatureKind::Pairs ? pair_metrics(rows, set, scores, baseline)
                                        : labelled_metrics(rows, set, scores, baseline);
}

TrainedRowMetrics training_metrics(const FeatureSet& set, const Scores& scores) {
  TrainedRowMetrics metrics;
  if (set.rows() == 0) return metrics;
  const RowNumbers numbers = row_numbers(set, scores);
  if (set.kind == FeatureKind::Pairs) {
    metrics.pair_accuracy = mean_of(numbers.right);
    metrics.margin = mean_of(numbers.margins);
    metrics.chosen = mean_of(scores.chosen);
    metrics.rejected = mean_of(scores.rejected);
  } else {
    metrics.accuracy = mean_of(numbers.right);
  }
  metrics.loss = mean_of(numbers.losses);
  return metrics;
}

}  // namespace coala
