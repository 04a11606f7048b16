#include "eval/head_comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <numeric>

#include "eval/comparison.h"
#include "eval/intervals.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

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

void add_accuracy(Json& json, const std::string& name, const std::vector<double>& right, const FeatureSet& set) {
  const Interval interval = proportion_interval(right, set.prompt_id);
  json[name] = std::accumulate(right.begin(), right.end(), 0.0) / static_cast<double>(right.size());
  json[name + "_ci95"] = {interval.low, interval.high};
}

}  // namespace

Json compare_heads(const FeatureSet& set, const Scores& first, const Scores& second,
                   const std::vector<std::string>& ids, std::uint64_t seed) {
  const std::vector<double> first_margins = margins_of(set, first);
  const std::vector<double> second_margins = margins_of(set, second);
  const std::vector<double> first_right = right_of(first_margins);
  const std::vector<double> second_right = right_of(second_margins);
  const PairedComparison paired = compare_paired(first_right, second_right, set.prompt_id, seed);

  Json json;
  json["eval_rows"] = set.rows();
  add_accuracy(json, "first/accuracy", first_right, set);
  add_accuracy(json, "second/accuracy", second_right, set);
  json["comparison/first_only_right"] = paired.first_only;
  json["comparison/second_only_right"] = paired.second_only;
  json["comparison/difference"] = paired.difference;
  const Interval& interval = paired.difference_ci95;
  if (interval.is_known()) json["comparison/difference_ci95"] = {interval.low, interval.high};
  json["comparison/p_value"] = paired.p_value;
  const double together = correlation(first_margins, second_margins);
  if (std::isfinite(together)) json["comparison/margin_correlation"] = together;

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
  json["disagreements"] = Json::array();
  for (const std::size_t i : rows) {
    Json example = {{"row", i}};
    if (!ids.empty()) example["id"] = ids[i];
    example["right"] = first_right[i] > 0 ? "first" : "second";
    example["first_margin"] = first_margins[i];
    example["second_margin"] = second_margins[i];
    json["disagreements"].push_back(std::move(example));
  }
  return json;
}

std::string comparison_summary(const Json& comparison) {
  std::string text = fmt::format("rows: {}\n", comparison.at("eval_rows").get<std::uint64_t>());
  const auto out = std::back_inserter(text);
  const auto share = [&](const std::string& key, const char* name) {
    fmt::format_to(out, "  {:<28} {:8.2f} %", name, 100 * comparison.at(key).get<double>());
    if (const auto interval = comparison.find(key + "_ci95"); interval != comparison.end()) {
      fmt::format_to(out, "  [{:.2f}, {:.2f}]", 100 * (*interval)[0].get<double>(), 100 * (*interval)[1].get<double>());
    }
    text += "\n";
  };
  share("first/accuracy", "first head");
  share("second/accuracy", "second head");
  share("comparison/difference", "first minus second");
  fmt::format_to(out, "  only the first is right on {} rows, only the second on {}; p = {:.3g} (exact, paired)\n",
                 comparison.at("comparison/first_only_right").get<std::uint64_t>(),
                 comparison.at("comparison/second_only_right").get<std::uint64_t>(),
                 comparison.at("comparison/p_value").get<double>());
  for (const Json& example : comparison.at("disagreements")) {
    const std::string name = example.contains("id") ? example.at("id").get<std::string>()
                                                    : fmt::format("row {}", example.at("row").get<std::uint64_t>());
    fmt::format_to(out, "  {}: {} is right, margins {:.3f} and {:.3f}\n", name, example.at("right").get<std::string>(),
                   example.at("first_margin").get<double>(), example.at("second_margin").get<double>());
  }
  return text;
}

}  // namespace coala
