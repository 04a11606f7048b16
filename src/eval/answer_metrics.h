#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/estimate.h"
#include "core/metric.h"
#include "eval/metrics.h"
#include "features/feature_set.h"

namespace coala {

// What heads say of answers that nobody has judged. How often a head is right, such rows cannot tell.

/// Several answers to one prompt.
struct ChoiceMetrics {
  std::uint64_t prompts = 0;
  Estimate best_ahead;

  static constexpr MetricTable kTable{"A choice of answers", "Prompts with several answers."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "choice/prompts", .about = "prompts with several answers", .unit = "prompts"}, self.prompts);
    add(Metric{.key = "choice/best_ahead",
               .about = "by how much the best answer to a prompt is ahead of their mean, a mean over these prompts",
               .unit = "log odds"},
        self.best_ahead);
  }
};

/// One head. Means over answers.
struct AnswerMetrics {
  std::uint64_t rows = 0;
  std::uint64_t prompts = 0;
  Estimate score;
  double deviation = 0;
  double low = 0;
  double median = 0;
  double high = 0;
  Estimate probability;
  std::optional<double> length_correlation;
  std::optional<ChoiceMetrics> choice;

  static constexpr MetricTable kTable{"Answers without a judgement",
                                      "What `coala eval --json` prints of answers that nobody has judged."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "eval_rows", .about = "answers that were scored", .unit = "rows"}, self.rows);
    add(Metric{.key = "eval_prompts", .about = "different prompts of them", .unit = "prompts"}, self.prompts);
    add(Metric{.key = "score/mean", .about = "mean score", .unit = "log odds"}, self.score);
    add(Metric{.key = "score/deviation", .about = "standard deviation of the scores", .unit = "log odds"},
        self.deviation);
    add(Metric{.key = "score/percentile_5", .about = "5 % of the answers score less", .unit = "log odds"}, self.low);
    add(Metric{.key = "score/median", .about = "half of the answers score less", .unit = "log odds"}, self.median);
    add(Metric{.key = "score/percentile_95", .about = "95 % of the answers score less", .unit = "log odds"}, self.high);
    add(Metric{.key = "score/probability", .about = "mean sigmoid of the score", .unit = "probability"},
        self.probability);
    add(Metric{.key = "eval_length_correlation",
               .about = "Pearson's correlation of the score with the number of tokens",
               .when = "neither is constant"},
        self.length_correlation);
    add(MetricPart{"a prompt has several answers"}, self.choice);
  }
};

/// Two answers to one prompt of which one head prefers the first and the other the second.
struct DisputedAnswers {
  std::string preferred_by_first;
  std::string preferred_by_second;
  double first_margin = 0;
  double second_margin = 0;

  static constexpr MetricTable kTable{"Disputed answers", "Two answers to one prompt that two heads rank differently."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "preferred_by_first", .about = "id of the answer that the first head prefers"},
        self.preferred_by_first);
    add(Metric{.key = "preferred_by_second", .about = "id of the one that the second head prefers"},
        self.preferred_by_second);
    add(Metric{.key = "first_margin", .about = "by how much its answer is ahead by the first head", .unit = "log odds"},
        self.first_margin);
    add(Metric{.key = "second_margin", .about = "the same of the second head and its answer", .unit = "log odds"},
        self.second_margin);
  }
};

/// Two heads on the same answers.
struct AgreementMetrics {
  std::uint64_t rows = 0;
  std::optional<double> correlation;
  std::uint64_t choices = 0;
  std::optional<Estimate> same_order;
  std::vector<DisputedAnswers> disputed;

  static constexpr MetricTable kTable{"Two heads without judgements",
                                      "What `coala eval --compare --json` prints of answers that nobody has judged."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "eval_rows", .about = "answers that were scored", .unit = "rows"}, self.rows);
    add(Metric{.key = "comparison/score_correlation",
               .about = "Pearson's correlation of both heads' scores",
               .when = "neither is constant"},
        self.correlation);
    add(Metric{.key = "comparison/choices", .about = "pairs of answers to one prompt", .unit = "pairs"}, self.choices);
    add(Metric{.key = "comparison/same_order",
               .about = "share of them that both heads put into the same order; a tie counts half",
               .unit = "share",
               .when = "a prompt has several answers"},
        self.same_order);
    add(Metric{.key = "disputed", .about = "pairs that they disagree on most, ten at most"}, self.disputed);
  }
};

/// Whether nobody has judged the rows.
/// @throws Error{BadInput} when some are judged and others are not
bool are_unjudged(const FeatureSet& set);

/// @param scores  of the rows of `set`, which has one or more, of labelled responses without a label
AnswerMetrics answer_metrics(const FeatureSet& set, const Scores& scores, std::uint64_t seed);

/// @param ids  of the rows, [n]; empty: they are named by their numbers, counted from 0
AgreementMetrics agreement_metrics(const FeatureSet& set, const Scores& first, const Scores& second,
                                   const std::vector<std::string>& ids);

/// The numbers for a person.
std::string answer_summary(const AnswerMetrics& metrics);
std::string agreement_summary(const AgreementMetrics& metrics);

}  // namespace coala
