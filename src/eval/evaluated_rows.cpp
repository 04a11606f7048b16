#include "eval/evaluated_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "features/feature_subset.h"

namespace coala {

EvaluatedRows evaluated_rows(const FeatureSet& set, const Scores& scores, std::vector<std::size_t> record) {
  EvaluatedRows rows;
  rows.record = std::move(record);
  rows.prompt_id = set.prompt_id;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    if (set.kind == FeatureKind::Pairs) {
      rows.margins.push_back(scores.chosen[i] - scores.rejected[i]);
      rows.scores.push_back(rows.margins.back());
      if (!set.length_chosen.empty()) {
        rows.lengths.push_back(static_cast<double>(set.length_chosen[i]) - set.length_rejected[i]);
      }
    } else {
      rows.margins.push_back(set.labels[i] * scores.single[i]);
      rows.scores.push_back(scores.single[i]);
      if (!set.length.empty()) rows.lengths.push_back(set.length[i]);
    }
  }
  return rows;
}

std::vector<std::size_t> record_numbers(const FeatureSet& set) {
  std::vector<std::size_t> numbers(set.rows());
  std::size_t next = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = next;
    if (is_whole(set, i)) ++next;
  }
  return numbers;
}

Examples surest_rows(const EvaluatedRows& rows, std::size_t count) {
  std::vector<std::size_t> order(rows.margins.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::abs(rows.margins[a]) > std::abs(rows.margins[b]); });
  Examples examples;
  std::set<std::int64_t> shown;
  for (const std::size_t i : order) {
    std::vector<Example>& to = rows.margins[i] > 0 ? examples.right : examples.wrong;
    if (to.size() >= count || !shown.insert(rows.prompt_id[i]).second) continue;
    Example example;
    example.record = rows.record[i];
    example.margin = rows.margins[i];
    to.push_back(std::move(example));
  }
  return examples;
}

}  // namespace coala
