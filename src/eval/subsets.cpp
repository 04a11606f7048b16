#include "eval/subsets.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include "eval/intervals.h"
#include "eval/reward_bench.h"

namespace coala {
namespace {

/// A way to divide the rows; absent until it has a part.
using Group = std::optional<std::vector<SubsetAccuracy>>;

void add_part(Group& group, SubsetAccuracy part) {
  if (!group) group.emplace();
  group->push_back(std::move(part));
}

class Subsets {
 public:
  Subsets(const FeatureSet& set, const std::vector<double>& right) : set_(set), right_(right) {}

  /// Nothing without a row.
  void add(Group& group, const std::string& name, const std::function<bool(std::size_t)>& contains) const {
    std::vector<double> values;
    std::vector<std::int64_t> prompts;
    for (std::size_t i = 0; i < right_.size(); ++i) {
      if (!contains(i)) continue;
      values.push_back(right_[i]);
      prompts.push_back(set_.prompt_id[i]);
    }
    if (values.empty()) return;
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    add_part(group, {name, values.size(), {mean, proportion_interval(values, prompts)}});
  }

 private:
  const FeatureSet& set_;
  const std::vector<double>& right_;
};

SubsetMetrics all_subsets(const FeatureSet& set, const std::vector<double>& right) {
  const Subsets subsets(set, right);
  SubsetMetrics metrics;
  for (const std::string& name : std::set<std::string>(set.subset.begin(), set.subset.end())) {
    subsets.add(metrics.named, name.empty() ? "(none named)" : name,
                [&](std::size_t i) { return set.subset[i] == name; });
  }
  for (const RewardBenchScore& score : reward_bench_scores(set.subset, right, set.prompt_id)) {
    const bool whole = score.parts == score.of;
    add_part(metrics.reward_bench,
             {score.name + (whole ? "" : fmt::format(" ({} of {} subsets)", score.parts, score.of)),
              score.rows,
              {score.accuracy, score.ci95}});
  }
  if (!set.length_chosen.empty()) {
    // Of the share of both lengths, so that empty responses need no case of their own: 2/5 is a ratio of 2 to 3.
    std::vector<double> share(right.size(), 0.5);
    for (std::size_t i = 0; i < share.size(); ++i) {
      const double both = static_cast<double>(set.length_chosen[i]) + set.length_rejected[i];
      if (both > 0) share[i] = set.length_chosen[i] / both;
    }
    const auto within = [&share](double low, double high) {
      return [&share, low, high](std::size_t i) { return share[i] >= low && share[i] < high; };
    };
    subsets.add(metrics.length_ratio, "chosen below 2/3 of rejected", within(0, 0.4));
    subsets.add(metrics.length_ratio, "2/3 to 9/10", within(0.4, 9.0 / 19));
    subsets.add(metrics.length_ratio, "9/10 to 10/9", within(9.0 / 19, 10.0 / 19));
    subsets.add(metrics.length_ratio, "10/9 to 3/2", within(10.0 / 19, 0.6));
    subsets.add(metrics.length_ratio, "chosen above 3/2 of rejected", within(0.6, 2));
  }
  if (!set.margin.empty()) {
    std::vector<float> sorted = set.margin;
    std::sort(sorted.begin(), sorted.end());
    const float low = sorted[sorted.size() / 3];
    const float high = sorted[2 * sorted.size() / 3];
    if (low == high) return metrics;  // too few different margins to have terciles
    const std::vector<float>& margin = set.margin;
    subsets.add(metrics.margin, "lowest third", [&](std::size_t i) { return margin[i] < low; });
    subsets.add(metrics.margin, "middle third", [&](std::size_t i) { return margin[i] >= low && margin[i] < high; });
    subsets.add(metrics.margin, "highest third", [&](std::size_t i) { return margin[i] >= high; });
  }
  return metrics;
}

}  // namespace

std::optional<SubsetMetrics> accuracy_by_subset(const FeatureSet& set, const std::vector<double>& right) {
  SubsetMetrics metrics = all_subsets(set, right);
  if (!metrics.named && !metrics.reward_bench && !metrics.length_ratio && !metrics.margin) return std::nullopt;
  return metrics;
}

}  // namespace coala
