#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/metric.h"
#include "core/setting.h"
#include "eval/metrics.h"
#include "features/feature_set.h"

namespace coala {

enum class ComparedHead { First, Second };
inline constexpr std::array kComparedHeads{Named{"first", ComparedHead::First}, Named{"second", ComparedHead::Second}};
constexpr const auto& names_of(ComparedHead) {
  return kComparedHeads;
}

/// A row of which one of two heads is right.
struct Disagreement {
  std::uint64_t row = 0;
  std::optional<std::string> id;
  ComparedHead right = ComparedHead::First;
  double first_margin = 0;
  double second_margin = 0;

  static constexpr MetricTable kTable{"Disagreement", "A row of which one head is right and the other is not."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "row", .about = "its place among the rows, from 0"}, self.row);
    add(Metric{.key = "id", .about = "id of its record", .when = "a model and data, not a feature file"}, self.id);
    add(Metric{.key = "right", .about = "head that is right"}, self.right);
    add(Metric{.key = "first_margin",
               .about = "by how much the right answer is ahead by the first head",
               .unit = "log odds"},
        self.first_margin);
    add(Metric{.key = "second_margin", .about = "the same by the second head", .unit = "log odds"}, self.second_margin);
  }
};

/// Two heads on the same rows.
struct HeadComparison {
  std::uint64_t rows = 0;
  Estimate first_accuracy;
  Estimate second_accuracy;
  std::uint64_t first_only_right = 0;
  std::uint64_t second_only_right = 0;
  Estimate difference;
  double p_value = 1;
  std::optional<double> margin_correlation;
  std::vector<Disagreement> disagreements;

  static constexpr MetricTable kTable{"Two heads", "What `coala eval --compare --json` prints."};
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Metric{.key = "eval_rows", .about = "rows that were evaluated", .unit = "rows"}, self.rows);
    add(Metric{.key = "first/accuracy", .about = "share of them that the first head gets right", .unit = "share"},
        self.first_accuracy);
    add(Metric{.key = "second/accuracy", .about = "share that the second head gets right", .unit = "share"},
        self.second_accuracy);
    add(Metric{.key = "comparison/first_only_right", .about = "rows that only the first gets right", .unit = "rows"},
        self.first_only_right);
    add(Metric{.key = "comparison/second_only_right", .about = "rows that only the second gets right", .unit = "rows"},
        self.second_only_right);
    add(
        Metric{
            .key = "comparison/difference", .about = "accuracy of the first less that of the second", .unit = "share"},
        self.difference);
    add(Metric{.key = "comparison/p_value",
               .about = "of the exact paired test that both are as good",
               .unit = "probability"},
        self.p_value);
    add(Metric{.key = "comparison/margin_correlation",
               .about = "Pearson's correlation of both heads' margins",
               .when = "neither is constant"},
        self.margin_correlation);
    add(Metric{.key = "disagreements", .about = "rows that they disagree on most, ten at most"}, self.disagreements);
  }
};

/// Both accuracies, how many rows only one gets right, the difference with its interval, the exact paired test, and the
/// rows they disagree on most (in units of each head's own spread of margins).
/// @param set  of the first head; the second may have other features of the same rows
/// @param ids  of the rows, [n]; empty: they are named by their numbers, counted from 0
HeadComparison compare_heads(const FeatureSet& set, const Scores& first, const Scores& second,
                             const std::vector<std::string>& ids, std::uint64_t seed);

/// The comparison for a person.
std::string comparison_summary(const HeadComparison& comparison);

}  // namespace coala
