#include "eval/metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string>

#include "core/error.h"
#include "eval/intervals.h"
#include "solver/loss.h"

namespace coala {
namespace {

class Report {
 public:
  Report(const std::vector<std::int64_t>& prompts, std::uint64_t seed)
      : prompts_(prompts),
        seed_(seed),
        prompts_repeat_(std::set<std::int64_t>(prompts.begin(), prompts.end()).size() < prompts.size()) {}

  void mean(const std::string& name, const std::vector<double>& values) {
    set(name, values, bootstrap_mean(values, prompts_, seed_));
  }

  /// A share of rows; entries are 0, 1, or 1/2 for a tie that counts half.
  void proportion(const std::string& name, const std::vector<double>& values) {
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    set(name, values,
        prompts_repeat_ ? bootstrap_mean(values, prompts_, seed_)
                        : wilson_interval(sum, static_cast<double>(values.size())));
  }

  void number(const std::string& name, double value) {
    if (std::isfinite(value)) json_[name] = value;
  }

  void count(const std::string& name, std::uint64_t value) { json_[name] = value; }

  nlohmann::ordered_json take() { return std::move(json_); }

 private:
  void set(const std::string& name, const std::vector<double>& values, Interval interval) {
    json_[name] = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    json_[name + "_ci95"] = {interval.low, interval.high};
  }

  const std::vector<std::int64_t>& prompts_;
  std::uint64_t seed_;
  bool prompts_repeat_;
  nlohmann::ordered_json json_ = nlohmann::ordered_json::object();
};

double tie_is_half(double difference) {
  return difference > 0 ? 1.0 : difference == 0 ? 0.5 : 0.0;
}

/// The exact paired test of head against baseline: p value of the rows that only one of them gets right.
void compare(Report& report, const std::vector<double>& head_right, const std::vector<double>& baseline_right) {
  std::uint64_t head_only = 0;
  std::uint64_t baseline_only = 0;
  for (std::size_t i = 0; i < head_right.size(); ++i) {
    head_only += head_right[i] > baseline_right[i] ? 1 : 0;
    baseline_only += head_right[i] < baseline_right[i] ? 1 : 0;
  }
  report.count("comparison/head_only_right", head_only);
  report.count("comparison/logistic_only_right", baseline_only);
  report.number("comparison/p_value", sign_test(head_only, baseline_only));
}

void pair_metrics(Report& report, const FeatureSet& set, const Scores& scores, const BaselineScores& baseline) {
  const std::size_t n = set.rows();
  std::vector<double> right(n);
  std::vector<double> margins(n);
  std::vector<double> reward_margin(n);
  std::vector<double> losses(n);
  std::uint64_t ties = 0;
  for (std::size_t i = 0; i < n; ++i) {
    margins[i] = scores.chosen[i] - scores.rejected[i];
    right[i] = margins[i] > 0 ? 1.0 : 0.0;
    ties += margins[i] == 0 ? 1 : 0;
    reward_margin[i] = sigmoid(margins[i]);
    losses[i] = softplus(-margins[i]);
  }
  report.proportion("eval_rewards/accuracies", right);
  report.mean("eval_rewards/margins", margins);
  report.mean("eval_rewards/chosen", scores.chosen);
  report.mean("eval_rewards/rejected", scores.rejected);
  report.mean("eval_reward_margin", reward_margin);
  report.mean("eval_loss", losses);
  report.count("eval_ties", ties);

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
  }
}

void labelled_metrics(Report& report, const FeatureSet& set, const Scores& scores, const BaselineScores& baseline) {
  const std::size_t n = set.rows();
  const auto agreement = [&](const std::vector<double>& single) {
    std::vector<double> right(n);
    for (std::size_t i = 0; i < n; ++i) right[i] = set.labels[i] * single[i] > 0 ? 1.0 : 0.0;
    return right;
  };
  const std::vector<double> right = agreement(scores.single);
  std::vector<double> losses(n);
  std::uint64_t ties = 0;
  for (std::size_t i = 0; i < n; ++i) {
    losses[i] = softplus(-set.labels[i] * scores.single[i]);
    ties += scores.single[i] == 0 ? 1 : 0;
  }
  report.proportion("eval_accuracy", right);
  report.mean("eval_loss", losses);
  report.count("eval_ties", ties);
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

}  // namespace coala
