#include "eval/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

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

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

class Report {
 public:
  Report(const std::vector<std::int64_t>& prompts, std::uint64_t seed) : prompts_(prompts), seed_(seed) {}

  void mean(const std::string& name, const std::vector<double>& values) {
    set(name, values, bootstrap_mean(values, prompts_, seed_));
  }

  /// A share of rows; entries are 0, 1, or 1/2 for a tie that counts half.
  void proportion(const std::string& name, const std::vector<double>& values) {
    set(name, values, proportion_interval(values, prompts_));
  }

  void number(const std::string& name, double value) {
    if (std::isfinite(value)) json_[name] = value;
  }

  void number(const std::string& name, double value, Interval interval) {
    json_[name] = value;
    if (interval.is_known()) json_[name + "_ci95"] = {interval.low, interval.high};
  }

  void count(const std::string& name, std::uint64_t value) { json_[name] = value; }

  void json(const std::string& name, nlohmann::ordered_json value) { json_[name] = std::move(value); }

  const std::vector<std::int64_t>& prompts() const { return prompts_; }
  std::uint64_t seed() const { return seed_; }

  nlohmann::ordered_json take() { return std::move(json_); }

 private:
  void set(const std::string& name, const std::vector<double>& values, Interval interval) {
    number(name, mean_of(values), interval);
  }

  const std::vector<std::int64_t>& prompts_;
  std::uint64_t seed_;
  nlohmann::ordered_json json_ = nlohmann::ordered_json::object();
};

double tie_is_half(double difference) {
  return difference > 0 ? 1.0 : difference == 0 ? 0.5 : 0.0;
}

/// The exact paired test of head against baseline.
void compare(Report& report, const std::vector<double>& head_right, const std::vector<double>& baseline_right) {
  const PairedComparison comparison = compare_paired(head_right, baseline_right, report.prompts(), report.seed());
  report.count("comparison/head_only_right", comparison.first_only);
  report.count("comparison/logistic_only_right", comparison.second_only);
  report.number("comparison/difference", comparison.difference, comparison.difference_ci95);
  report.number("comparison/p_value", comparison.p_value);
}

nlohmann::ordered_json reliability_json(const Reliability& reliability) {
  nlohmann::ordered_json table = nlohmann::ordered_json::array();
  for (const ReliabilityBin& bin : reliability.bins) {
    nlohmann::ordered_json row = {{"low", bin.low}, {"high", bin.high}, {"rows", bin.rows}};
    if (bin.rows > 0) {
      row["confidence"] = bin.confidence;
      row["accuracy"] = bin.accuracy;
    }
    table.push_back(std::move(row));
  }
  return table;
}

/// What rows of both kinds have. `margins`: by how much the right answer is ahead.
void common_metrics(Report& report, const FeatureSet& set, const std::vector<double>& margins,
                    const std::vector<double>& right) {
  const auto n = static_cast<double>(margins.size());
  report.count("eval_ties", static_cast<std::uint64_t>(std::ranges::count(margins, 0.0)));
  report.json("eval_ties_policy", "a tie is not right");
  // A coin knows no ties. Its interval is where the accuracy of a coin on these rows would lie.
  report.number("baseline/random_accuracy", 0.5, wilson_interval(n / 2, n));
  const Calibration calibration = calibrate(margins, report.prompts(), report.seed());
  report.number("calibration/temperature", calibration.temperature);
  report.number("calibration/expected_error", calibration.raw.expected_error);
  report.number("calibration/expected_error_scaled", calibration.scaled.expected_error);
  report.json("calibration/reliability", reliability_json(calibration.raw));
  report.json("calibration/reliability_scaled", reliability_json(calibration.scaled));
  nlohmann::ordered_json subsets = accuracy_by_subset(set, right);
  if (!subsets.empty()) report.json("accuracy_by_subset", std::move(subsets));
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

void pair_metrics(Report& report, const FeatureSet& set, const Scores& scores, const BaselineScores& baseline) {
  const std::size_t n = set.rows();
  const auto [margins, right, losses] = row_numbers(set, scores);
  std::vector<double> reward_margin(n);
  std::transform(margins.begin(), margins.end(), reward_margin.begin(), sigmoid);
  report.proportion("eval_rewards/accuracies", right);
  report.mean("eval_rewards/margins", margins);
  report.mean("eval_rewards/chosen", scores.chosen);
  report.mean("eval_rewards/rejected", scores.rejected);
  report.mean("eval_reward_margin", reward_margin);
  report.mean("eval_loss", losses);
  common_metrics(report, set, margins, right);

  if (!baseline.logistic.chosen.empty()) {
    std::vector<double> logistic_right(n);
    for (std::size_t i = 0; i < n; ++i) {
      logistic_right[i] = baseline.logistic.chosen[i] > baseline.logistic.rejected[i] ? 1.0 : 0.0;
    }
    report.proportion("baseline/logistic_accuracy", logistic_right);
    compare(report, right, logistic_right);
  }
  if (!set.length_chosen.empty()) {
    std::vector<double> longer(n);
    std::vector<double> length_difference(n);
    for (std::size_t i = 0; i < n; ++i) {
      length_difference[i] = static_cast<double>(set.length_chosen[i]) - set.length_rejected[i];
      longer[i] = tie_is_half(length_difference[i]);
    }
    report.proportion("baseline/length_accuracy", longer);
    report.number("score_length_correlation", correlation(margins, length_difference));
    const LengthControlled controlled =
        length_controlled_accuracy(right, bounded_length_difference(set), report.prompts());
    report.number("length_controlled_accuracy", controlled.accuracy, controlled.ci95);
    report.number("length_controlled_slope", controlled.slope);
  }
}

void labelled_metrics(Report& report, const FeatureSet& set, const Scores& scores, const BaselineScores& baseline) {
  const std::size_t n = set.rows();
  const auto agreement = [&](const std::vector<double>& single) {
    std::vector<double> right(n);
    for (std::size_t i = 0; i < n; ++i) right[i] = set.labels[i] * single[i] > 0 ? 1.0 : 0.0;
    return right;
  };
  const auto [margins, right, losses] = row_numbers(set, scores);
  report.proportion("eval_accuracy", right);
  if (has_both_labels(set.labels)) {
    const double majority = majority_share(set.labels);
    report.number("baseline/majority_accuracy", majority,
                  wilson_interval(majority * static_cast<double>(n), static_cast<double>(n)));
    const Estimate balanced = balanced_accuracy(right, set.labels, set.prompt_id);
    report.number("balanced_accuracy", balanced.value, balanced.ci95);
    const Estimate area = area_under_curve(scores.single, set.labels, set.prompt_id);
    report.number("auc", area.value, area.ci95);
  }
  report.mean("eval_loss", losses);
  common_metrics(report, set, margins, right);
  if (!baseline.logistic.single.empty()) {
    const std::vector<double> logistic_right = agreement(baseline.logistic.single);
    report.proportion("baseline/logistic_accuracy", logistic_right);
    compare(report, right, logistic_right);
  }
  if (!set.length.empty()) {
    const std::vector<double> length(set.length.begin(), set.length.end());
    report.number("score_length_correlation", correlation(scores.single, length));
  }
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

nlohmann::ordered_json evaluation_metrics(const FeatureSet& set, const Scores& scores, const BaselineScores& baseline,
                                          std::uint64_t seed) {
  Report report(set.prompt_id, seed);
  if (set.kind == FeatureKind::Pairs) {
    pair_metrics(report, set, scores, baseline);
  } else {
    labelled_metrics(report, set, scores, baseline);
  }
  report.count("eval_rows", set.rows());
  return report.take();
}

nlohmann::ordered_json training_metrics(const FeatureSet& set, const Scores& scores) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (set.rows() == 0) return json;
  const RowNumbers numbers = row_numbers(set, scores);
  if (set.kind == FeatureKind::Pairs) {
    json["rewards/accuracies"] = mean_of(numbers.right);
    json["rewards/margins"] = mean_of(numbers.margins);
    json["rewards/chosen"] = mean_of(scores.chosen);
    json["rewards/rejected"] = mean_of(scores.rejected);
  } else {
    json["accuracy"] = mean_of(numbers.right);
  }
  json["loss"] = mean_of(numbers.losses);
  return json;
}

}  // namespace coala
