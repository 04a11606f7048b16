#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/metric.h"
#include "eval/calibration.h"
#include "eval/leaks.h"

namespace coala {

// What rows that a head has not seen say of it.

/// Of preference pairs. Means over pairs.
struct PairMetrics {
  Estimate accuracy;
  Estimate margin;
  Estimate chosen;
  Estimate rejected;
  Estimate probability;

  static constexpr MetricTable kTable{"Pairs", "What evaluation pairs say of the head, under TRL's names."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "eval_rewards/accuracies",
               .about = "share of the pairs whose chosen response scores strictly higher",
               .unit = "share"},
        self.accuracy);
    add(
        Metric{
            .key = "eval_rewards/margins", .about = "mean score of chosen less that of rejected", .unit = "log odds"},
        self.margin);
    add(Metric{.key = "eval_rewards/chosen", .about = "mean score of chosen responses", .unit = "log odds"},
        self.chosen);
    add(Metric{.key = "eval_rewards/rejected", .about = "mean score of rejected responses", .unit = "log odds"},
        self.rejected);
    add(Metric{.key = "eval_reward_margin",
               .about = "mean sigmoid of the margin (the paper's reward margin)",
               .unit = "probability"},
        self.probability);
  }
};

/// Of labelled responses.
struct LabelledMetrics {
  Estimate accuracy;
  std::optional<Estimate> majority_accuracy;
  std::optional<Estimate> balanced_accuracy;
  std::optional<Estimate> area;

  static constexpr MetricTable kTable{"Labelled responses", "What labelled evaluation rows say of the head."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kWhen = "the rows have both labels";
    add(Metric{.key = "eval_accuracy", .about = "share of the rows whose score has the label's sign", .unit = "share"},
        self.accuracy);
    add(Metric{.key = "baseline/majority_accuracy",
               .about = "accuracy of whoever always gives the more frequent label",
               .unit = "share",
               .when = kWhen},
        self.majority_accuracy);
    add(Metric{.key = "balanced_accuracy",
               .about = "mean of the accuracies among good and among bad rows",
               .unit = "share",
               .when = kWhen},
        self.balanced_accuracy);
    add(Metric{.key = "auc",
               .about = "area under the ROC curve: how often a good row scores higher than a bad one, ties half",
               .unit = "probability",
               .when = kWhen},
        self.area);
  }
};

/// Whether the head's probabilities can be believed (docs/math.md, Calibration).
struct CalibrationMetrics {
  double temperature = 1;
  double expected_error = 0;
  double expected_error_scaled = 0;
  std::vector<ReliabilityBin> reliability;
  std::vector<ReliabilityBin> reliability_scaled;

  static constexpr MetricTable kTable{"Calibration", "Whether the head's probabilities can be believed."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "calibration/temperature",
               .about = "what margins are divided by for the lowest log loss on these rows"},
        self.temperature);
    add(Metric{.key = "calibration/expected_error",
               .about = "expected calibration error of sigmoid(margin)",
               .unit = "probability"},
        self.expected_error);
    add(Metric{.key = "calibration/expected_error_scaled",
               .about = "the same where each half of the prompts has the temperature of the other half",
               .unit = "probability"},
        self.expected_error_scaled);
    add(Metric{.key = "calibration/reliability", .about = "ten bins of confidence, of sigmoid(margin)"},
        self.reliability);
    add(Metric{.key = "calibration/reliability_scaled", .about = "ten bins of confidence, with those temperatures"},
        self.reliability_scaled);
  }
};

/// How often a part of the rows is right.
struct SubsetAccuracy {
  std::string subset;
  std::uint64_t rows = 0;
  Estimate accuracy;

  static constexpr MetricTable kTable{"Subset", "How often the head is right on a part of the rows."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "subset", .about = "name of the part"}, self.subset);
    add(Metric{.key = "rows", .about = "rows of the part", .unit = "rows"}, self.rows);
    add(Metric{.key = "accuracy", .about = "share of them that is right", .unit = "share"}, self.accuracy);
  }
};

/// The rows divided in some ways; a way that the data do not have is absent.
struct SubsetMetrics {
  std::optional<std::vector<SubsetAccuracy>> named;
  std::optional<std::vector<SubsetAccuracy>> reward_bench;
  std::optional<std::vector<SubsetAccuracy>> length_ratio;
  std::optional<std::vector<SubsetAccuracy>> margin;

  static constexpr MetricTable kTable{"Accuracy by subset", "How often the head is right on parts of the rows."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "subset", .about = "by the subsets that the data name", .when = "they name some"}, self.named);
    add(Metric{.key = "reward_bench",
               .about = "by RewardBench's sections, and over all of them",
               .when = "subsets have its names"},
        self.reward_bench);
    add(Metric{.key = "length_ratio",
               .about = "by the ratio of the lengths of chosen and rejected",
               .when = "pairs with lengths"},
        self.length_ratio);
    add(Metric{.key = "margin",
               .about = "by terciles of the margin that the data state",
               .when = "they state some that differ enough"},
        self.margin);
  }
};

/// The head beside a ridge model on the same features.
struct LogisticMetrics {
  Estimate accuracy;
  std::uint64_t head_only_right = 0;
  std::uint64_t logistic_only_right = 0;
  Estimate difference;
  double p_value = 1;

  static constexpr MetricTable kTable{"Logistic regression",
                                      "The head beside logistic regression on the same features and rows."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "baseline/logistic_accuracy", .about = "accuracy of logistic regression", .unit = "share"},
        self.accuracy);
    add(Metric{.key = "comparison/head_only_right", .about = "rows that only the head gets right", .unit = "rows"},
        self.head_only_right);
    add(Metric{.key = "comparison/logistic_only_right",
               .about = "rows that only logistic regression gets right",
               .unit = "rows"},
        self.logistic_only_right);
    add(Metric{.key = "comparison/difference",
               .about = "accuracy of the head less that of logistic regression",
               .unit = "share"},
        self.difference);
    add(Metric{.key = "comparison/p_value",
               .about = "of the exact paired test that both are as good",
               .unit = "probability"},
        self.p_value);
  }
};

/// Whether length decides.
struct LengthMetrics {
  std::optional<Estimate> longer_accuracy;
  std::optional<double> correlation;
  std::optional<Estimate> controlled_accuracy;
  std::optional<double> controlled_slope;

  static constexpr MetricTable kTable{"Length", "Whether the head rewards length."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kWhen = "pairs with lengths";
    add(Metric{.key = "baseline/length_accuracy",
               .about = "accuracy of \"the longer answer wins\", equal lengths half",
               .unit = "share",
               .when = kWhen},
        self.longer_accuracy);
    add(Metric{.key = "score_length_correlation",
               .about = "Pearson's correlation of score and length; of pairs, of their differences",
               .when = "rows with lengths, where neither is constant"},
        self.correlation);
    add(Metric{.key = "length_controlled_accuracy",
               .about = "how often the head would be right at equal lengths (math.md, Length control)",
               .unit = "share",
               .when = kWhen},
        self.controlled_accuracy);
    add(Metric{.key = "length_controlled_slope",
               .about = "slope of being right on the length difference",
               .unit = "log odds",
               .when = "pairs with lengths, where it is finite"},
        self.controlled_slope);
  }
};

/// All that evaluation rows say of a head.
struct EvaluationMetrics {
  std::optional<PairMetrics> pairs;
  std::optional<LabelledMetrics> labelled;
  Estimate loss;
  std::uint64_t ties = 0;
  std::string ties_policy = "a tie is not right";
  Estimate coin;
  CalibrationMetrics calibration;
  std::optional<SubsetMetrics> subsets;
  std::optional<LogisticMetrics> logistic;
  LengthMetrics length;
  std::uint64_t rows = 0;
  std::optional<Leaks> leaks;
  std::optional<std::string> held_out;
  std::optional<bool> trained_on;
  std::optional<std::uint64_t> prompts;

  static constexpr MetricTable kTable{"Evaluation", "What rows that a head has not seen say of it."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(MetricPart{"of preference pairs"}, self.pairs);
    add(MetricPart{"of labelled responses"}, self.labelled);
    add(Metric{.key = "eval_loss", .about = "mean of log(1 + exp(-margin))", .unit = "nats"}, self.loss);
    add(Metric{.key = "eval_ties", .about = "rows that the head cannot decide", .unit = "rows"}, self.ties);
    add(Metric{.key = "eval_ties_policy", .about = "how they count"}, self.ties_policy);
    add(Metric{.key = "baseline/random_accuracy",
               .about = "accuracy of a coin; the interval is where it would lie on so many rows",
               .unit = "share"},
        self.coin);
    add(MetricPart{}, self.calibration);
    add(Metric{.key = "accuracy_by_subset",
               .about = "accuracies on parts of the rows",
               .when = "the data have something to divide them by"},
        self.subsets);
    add(MetricPart{"of `train` and `align`"}, self.logistic);
    add(MetricPart{}, self.length);
    add(Metric{.key = "eval_rows", .about = "rows that were evaluated", .unit = "rows"}, self.rows);
    add(MetricPart{"of `train` and `align`"}, self.leaks);
    add(Metric{.key = "evaluation", .about = "which rows these are", .when = "not in the library's evaluate()"},
        self.held_out);
    add(
        Metric{
            .key = "leak/training_data", .about = "the head was trained on these very features", .when = "of `eval`"},
        self.trained_on);
    add(Metric{.key = "eval_prompts",
               .about = "different prompts of the rows",
               .unit = "prompts",
               .when = "of `train` and `align`"},
        self.prompts);
  }

  /// Of pairs or of labelled responses.
  const Estimate& accuracy() const { return pairs ? pairs->accuracy : labelled->accuracy; }
};

/// What `coala eval` says of a head.
struct EvaluationRun {
  EvaluationMetrics evaluation;
  std::uint64_t peak_rss_bytes = 0;

  static constexpr MetricTable kTable{"An evaluation", "What `coala eval --json` prints of a head."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(MetricPart{}, self.evaluation);
    add(Metric{.key = "peak_rss_bytes", .about = "peak memory of the process", .unit = "bytes"}, self.peak_rss_bytes);
  }
};

/// The same of rows that the head was trained on, which it knows better than others.
struct TrainedRowMetrics {
  std::optional<double> pair_accuracy;
  std::optional<double> margin;
  std::optional<double> chosen;
  std::optional<double> rejected;
  std::optional<double> accuracy;
  std::optional<double> loss;

  static constexpr MetricTable kTable{
      "Training rows", "What the rows that the head was trained on say of it: how much better it knows them."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    constexpr const char* kPairs = "of preference pairs";
    add(Metric{.key = "rewards/accuracies",
               .about = "share of the pairs whose chosen response scores strictly higher",
               .unit = "share",
               .when = kPairs},
        self.pair_accuracy);
    add(Metric{.key = "rewards/margins",
               .about = "mean score of chosen less that of rejected",
               .unit = "log odds",
               .when = kPairs},
        self.margin);
    add(Metric{.key = "rewards/chosen", .about = "mean score of chosen responses", .unit = "log odds", .when = kPairs},
        self.chosen);
    add(
        Metric{
            .key = "rewards/rejected", .about = "mean score of rejected responses", .unit = "log odds", .when = kPairs},
        self.rejected);
    add(Metric{.key = "accuracy",
               .about = "share of the rows whose score has the label's sign",
               .unit = "share",
               .when = "of labelled responses"},
        self.accuracy);
    add(Metric{.key = "loss",
               .about = "mean of log(1 + exp(-margin))",
               .unit = "nats",
               .when = "some row is a whole response"},
        self.loss);
  }
};

}  // namespace coala
