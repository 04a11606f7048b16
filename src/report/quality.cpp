// How good the head is on rows that it has not seen.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"
#include "report/plot.h"
#include "report/row_plots.h"
#include "report/sections.h"
#include "report/svg_axis.h"

namespace coala {
namespace {

using Kind = Column::Kind;

/// A share with its interval as a row of an interval plot.
IntervalRow interval_row(const Json& from, const std::string& key, const std::string& name, const std::string& mark) {
  IntervalRow row;
  row.name = name;
  row.value = 100 * from.at(key).get<double>();
  row.low = row.high = row.value;
  if (const auto bounds = from.find(key + "_ci95"); bounds != from.end()) {
    row.low = 100 * bounds->at(0).get<double>();
    row.high = 100 * bounds->at(1).get<double>();
  }
  row.mark = mark;
  row.text = percent(row.value / 100);
  return row;
}

/// Per cent, from what the rows need to what they need, 50 in view.
Axis percent_axis(const std::vector<IntervalRow>& rows, const std::string& title) {
  double low = 50;
  double high = 50;
  for (const IntervalRow& row : rows) {
    low = std::min(low, row.low);
    high = std::max(high, row.high);
  }
  return {std::max(0.0, std::floor(low / 5 - 0.2) * 5), std::min(100.0, std::ceil(high / 5 + 0.2) * 5), title, false};
}

/// Value below which a share of the sorted values lies.
double quantile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

/// A range of nearly all values: a few wild ones would leave the others no room.
std::pair<double, double> usual_range(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {quantile(values, 0.005), quantile(values, 0.995)};
}

std::string margin_histogram(const std::vector<double>& margins, bool pairs) {
  constexpr int kColumns = 24;
  const auto [usual_low, usual_high] = usual_range(margins);
  const double low = std::min(usual_low, 0.0);
  const double high = std::max(usual_high, 0.0);
  const double step = round_step(std::max(high - low, 1e-9) / kColumns);
  const int first = static_cast<int>(std::floor(low / step));
  const int last = std::max(first + 1, static_cast<int>(std::ceil(high / step)));
  std::vector<double> counts(static_cast<std::size_t>(last - first));
  for (const double margin : margins) {
    // A tie is not right, so columns hold their upper ends: 0 belongs to the one below.
    const int column = std::clamp(static_cast<int>(std::ceil(margin / step)) - 1, first, last - 1);
    ++counts[static_cast<std::size_t>(column - first)];
  }
  const double most = *std::max_element(counts.begin(), counts.end());
  Plot plot("Histogram of the margins of held-out rows",
            {first * step, last * step, pairs ? "margin, chosen minus rejected" : "margin, label times score", false},
            {0, 1.05 * most, "rows", false});
  for (int k = first; k < last; ++k) {
    const double count = counts[static_cast<std::size_t>(k - first)];
    plot.column(k * step, (k + 1) * step, count, k < 0 ? "b" : "a",
                fmt::format("{:.4g} to {:.4g}: {:.0f} rows", k * step, (k + 1) * step, count));
  }
  plot.vertical_rule(0);
  return plot.finish();
}

std::string reliability_plot(const Json& metrics) {
  Plot plot("Reliability diagram: share of right rows against confidence", {0.5, 1, "confidence", false},
            {0, 1, "share that is right", false});
  plot.rule({0.5, 0.5}, {1, 1});
  const auto add = [&](const char* key, const char* mark, const char* shape) {
    std::vector<Point> points;
    for (const Json& bin : metrics.at(key)) {
      if (bin.contains("accuracy"))
        points.emplace_back(bin.at("confidence").get<double>(), bin.at("accuracy").get<double>());
    }
    plot.line(points, mark);
    plot.dots(points, mark, shape, 3.5);
  };
  add("calibration/reliability", "a", "fill");
  add("calibration/reliability_scaled", "b", "ring");
  return plot.finish();
}

constexpr std::size_t kMostDots = 600;  ///< more would hide each other and swell the file

std::string length_plot(const EvaluatedRows& rows, bool pairs) {
  const auto [x_low, x_high] = usual_range(rows.lengths);
  const auto [y_low, y_high] = usual_range(rows.scores);
  Plot plot("Scores of held-out rows against the lengths of the responses",
            Axis::around({x_low, x_high}, pairs ? "length, chosen minus rejected (characters)" : "length (characters)"),
            Axis::around({y_low, y_high}, pairs ? "score, chosen minus rejected" : "score"));
  std::vector<Point> right;
  std::vector<Point> wrong;
  const std::size_t n = rows.scores.size();
  const std::size_t shown = std::min(n, kMostDots);
  for (std::size_t k = 0; k < shown; ++k) {
    const std::size_t i = k * n / shown;
    (rows.margins[i] > 0 ? right : wrong).emplace_back(rows.lengths[i], rows.scores[i]);
  }
  plot.dots(right, "a", "cloud", 2.2);
  plot.dots(wrong, "b", "cloud", 2.2);
  if (pairs) plot.vertical_rule(0);
  return plot.finish();
}

std::string subset_title(const std::string& group) {
  if (group == "length_ratio") return "length of chosen over rejected";
  if (group == "margin") return "stated margin";
  if (group == "subset") return "subset of the data";
  if (group == "reward_bench") return "section of RewardBench";
  return group;
}

}  // namespace

void accuracy_section(Page& page, const Json& metrics) {
  page.section("accuracy", "How good is the head?");
  const bool pairs = has_pairs(metrics);
  page.paragraph(fmt::format(
      "On {} rows that the head has not seen ({}). A row is right when the {}; {} ties.",
      grouped(metrics.at("eval_rows").get<std::uint64_t>()), metrics.at("evaluation").get<std::string>(),
      pairs ? "chosen response scores strictly higher than the rejected one" : "score has the sign of the label",
      metrics.at("eval_ties").get<std::uint64_t>()));
  std::vector<IntervalRow> shown;
  std::vector<std::vector<std::string>> table;
  const auto add = [&](const std::string& key, const std::string& name, const char* mark) {
    if (!metrics.contains(key)) return;
    shown.push_back(interval_row(metrics, key, name, mark));
    table.push_back({name, percent(metrics.at(key).get<double>()), interval_text(metrics, key, 100)});
  };
  add(accuracy_key(metrics), "this head", "a");
  add("baseline/logistic_accuracy", "logistic regression, same features", "c");
  add("baseline/length_accuracy", "the longer answer wins", "c");
  add("baseline/majority_accuracy", "always the more frequent label", "c");
  add("baseline/random_accuracy", "a coin", "c");
  add("balanced_accuracy", "this head, mean over both labels", "a");
  add("auc", "this head, area under the ROC curve", "a");
  add("length_controlled_accuracy", "this head, at equal lengths", "a");
  page.start_columns();
  page.figure("fig-accuracy", interval_plot("Accuracy with 95 % intervals", shown, percent_axis(shown, "per cent"), 50),
              {{"a", "this head"}, {"c", "baselines"}},
              "95 % intervals. That of the coin: where the accuracy of a coin on so many rows would lie.");
  const char* on_training = pairs ? "rewards/accuracies" : "accuracy";
  if (metrics.contains(on_training)) {
    table.push_back({"this head, on its training rows", percent(metrics.at(on_training).get<double>()), ""});
  }
  page.table({{"", Kind::Text}, {"Accuracy", Kind::Number}, {"95 % interval", Kind::Number}}, table);
  page.end_columns();
  if (metrics.contains("comparison/p_value")) {
    page.paragraph(fmt::format(
        "Against logistic regression on the same rows: {:+.2f} points ({}). {} rows only the head gets right, {} only "
        "logistic regression; exact paired test: p = {:.3g}.",
        100 * metrics.at("comparison/difference").get<double>(), interval_text(metrics, "comparison/difference", 100),
        grouped(metrics.at("comparison/head_only_right").get<std::uint64_t>()),
        grouped(metrics.at("comparison/logistic_only_right").get<std::uint64_t>()),
        metrics.at("comparison/p_value").get<double>()));
  }
}

void seeds_section(Page& page, const Json& metrics) {
  if (!metrics.contains("seeds")) return;
  const Json& seeds = metrics.at("seeds");
  page.section("seeds", "Does it depend on the seed?");
  page.paragraph(fmt::format(
      "{} runs. The seed draws gates and folds, and the held-out rows where a share of the training data is held out. "
      "The head that was written, and everything else here, is of the first.",
      seeds.at("seeds").size()));
  std::vector<DotRow> dots;
  std::vector<std::vector<std::string>> table;
  std::vector<double> shown;
  const auto add = [&](const char* key, const std::string& name, const char* mark) {
    const Json& values = seeds.at(key);
    table.push_back({name, fmt::format("{:.2f}", 100 * values.at("mean").get<double>()),
                     fmt::format("{:.2f}", 100 * values.at("deviation").get<double>())});
    if (*mark == 0) return;
    DotRow row{name, {}};
    for (const Json& value : values.at("values")) {
      shown.push_back(100 * value.get<double>());
      row.dots.emplace_back(shown.back(), mark);
    }
    dots.push_back(std::move(row));
  };
  add("accuracy", "this head", "a");
  add("logistic_accuracy", "logistic regression", "c");
  add("difference", "difference, points", "");
  page.start_columns();
  page.figure("fig-seeds", dot_plot("Accuracy of each seed", dots, Axis::around(shown, "per cent")), {},
              "One dot for each seed.");
  page.end_columns();
  page.table({{"", Kind::Text}, {"Mean, %", Kind::Number}, {"Standard deviation", Kind::Number}}, table);
}

void token_section(Page& page, const Json& metrics) {
  page.section("token-head", "The token head");
  if (!metrics.contains("token_head")) {
    page.note("There is none: guidance by token is not possible with this head.");
    return;
  }
  const Json& token = metrics.at("token_head");
  const Json& without = token.at("context_free");
  page.paragraph(token.contains("accuracy_ci95")
                     ? "How often the sum of its token scores is right on held-out rows."
                     : "How often the sum of its token scores is right on the folds of its selection.");
  std::vector<IntervalRow> rows{interval_row(token, "accuracy", "token head", "a"),
                                interval_row(without, "accuracy", "without context: a fixed bias", "c")};
  page.start_columns();
  page.figure("fig-token", interval_plot("Accuracy of the token head", rows, percent_axis(rows, "per cent"), 50),
              {{"a", "token head"}, {"c", "its baseline"}}, "95 % intervals where rows were held out.");
  const auto row = [](const std::string& name, const Json& program) {
    return std::vector<std::string>{name, percent(program.at("accuracy").get<double>()),
                                    interval_text(program, "accuracy", 100),
                                    fmt::format("{:.1e}", program.at("relative_gap").get<double>())};
  };
  page.table(
      {{"", Kind::Text}, {"Accuracy", Kind::Number}, {"95 % interval", Kind::Number}, {"Duality gap", Kind::Number}},
      {row("token head", token), row("without context", without)});
  page.end_columns();
  const std::string share = token.at("share_of_tokens").get<std::string>();
  page.note(fmt::format("Rank {}. Fitted to {} of the training responses. Ended: {}, without context {}.",
                        token.at("rank").get<std::uint64_t>(),
                        share == "1" ? "all tokens" : "a share of " + share + " of the tokens",
                        token.at("status").get<std::string>(), without.at("status").get<std::string>()));
}

void margin_section(Page& page, const Json& metrics, const EvaluatedRows& rows) {
  page.section("margins", "Margins");
  page.start_columns();
  page.figure("fig-margins", margin_histogram(rows.margins, has_pairs(metrics)), {{"a", "right"}, {"b", "wrong"}},
              "Held-out rows. The outer columns hold everything beyond them.");
  std::vector<std::vector<std::string>> table;
  const auto add = [&](const std::string& key, const std::string& name) {
    const std::string held_out = "eval_" + key;
    if (!metrics.contains(held_out)) return;
    table.push_back({name, fmt::format("{:.4f}", metrics.at(held_out).get<double>()),
                     interval_text(metrics, held_out, 1),
                     metrics.contains(key) ? fmt::format("{:.4f}", metrics.at(key).get<double>()) : ""});
  };
  add("rewards/margins", "margin, chosen minus rejected");
  add("rewards/chosen", "score of chosen responses");
  add("rewards/rejected", "score of rejected responses");
  add("reward_margin", "sigmoid of the margin (the paper's reward margin)");
  add("loss", "loss, log(1 + exp(-margin))");
  page.table({{"Mean of", Kind::Text},
              {"Held out", Kind::Number},
              {"95 % interval", Kind::Number},
              {"Training rows", Kind::Number}},
             table);
  page.end_columns();
}

void calibration_section(Page& page, const Json& metrics) {
  page.section("calibration", "Can its probabilities be believed?");
  page.start_columns();
  page.figure("fig-reliability", reliability_plot(metrics), {{"a", "sigmoid(margin)"}, {"b", "with a temperature"}},
              "Of all rows with one confidence, the share that is right; on the dashed line both are equal.");
  page.facts({{"expected calibration error", percent(metrics.at("calibration/expected_error").get<double>())},
              {"after temperature scaling", percent(metrics.at("calibration/expected_error_scaled").get<double>())},
              {"temperature", fmt::format("{:.3f}", metrics.at("calibration/temperature").get<double>())}},
             Kind::Number);
  page.end_columns();
}

void length_section(Page& page, const Json& metrics, const EvaluatedRows& rows) {
  page.section("length", "Does it reward length?");
  if (rows.lengths.empty()) {
    page.note("The features hold no lengths: this cannot be told.");
    return;
  }
  const std::size_t shown = std::min(rows.scores.size(), kMostDots);
  page.start_columns();
  page.figure("fig-length", length_plot(rows, has_pairs(metrics)), {{"a", "right"}, {"b", "wrong"}},
              fmt::format("{} of {} held-out rows; what lies outside is drawn on the edge.", grouped(shown),
                          grouped(rows.scores.size())));
  std::vector<std::pair<std::string, std::string>> facts;
  if (metrics.contains("score_length_correlation")) {
    facts.emplace_back("correlation of score and length",
                       fmt::format("{:.3f}", metrics.at("score_length_correlation").get<double>()));
  }
  if (metrics.contains("length_controlled_accuracy")) {
    facts.emplace_back("accuracy at equal lengths",
                       fmt::format("{} ({})", percent(metrics.at("length_controlled_accuracy").get<double>()),
                                   interval_text(metrics, "length_controlled_accuracy", 100)));
    facts.emplace_back("slope of being right on the length difference",
                       fmt::format("{:.3f}", metrics.at("length_controlled_slope").get<double>()));
  }
  facts.emplace_back("length control in training", metrics.at("solver").at("length_control").get<std::string>());
  page.facts(facts);
  page.end_columns();
}

void subset_section(Page& page, const Json& metrics) {
  page.section("subsets", "Where is it good?");
  if (!metrics.contains("accuracy_by_subset")) {
    page.note("The data have neither lengths of pairs nor margins to divide them by.");
    return;
  }
  page.start_columns();
  for (const auto& [group, subsets] : metrics.at("accuracy_by_subset").items()) {
    std::vector<IntervalRow> rows;
    for (const Json& subset : subsets) {
      rows.push_back(interval_row(subset, "accuracy",
                                  fmt::format("{} ({} rows)", subset.at("subset").get<std::string>(),
                                              grouped(subset.at("rows").get<std::uint64_t>())),
                                  "a"));
    }
    const std::string title = subset_title(group);
    page.figure("fig-subsets-" + group, interval_plot("Accuracy by " + title, rows, percent_axis(rows, "per cent"), 50),
                {}, "Accuracy by " + title + ", with 95 % intervals.");
  }
  page.end_columns();
}

}  // namespace coala
