// How good the head is on rows that it has not seen.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/markup.h"
#include "report/plot.h"
#include "report/row_plots.h"
#include "report/sections.h"
#include "report/svg_axis.h"
#include "report/values.h"

namespace coala {
namespace {

using Kind = Column::Kind;

/// A share with its interval as a row of an interval plot.
IntervalRow interval_row(const Estimate& share, const std::string& name, const std::string& mark) {
  const double value = 100 * share.value;
  const auto [low, high] = share.ci95;
  const bool known = share.ci95.is_known();
  return {name, value, known ? 100 * low : value, known ? 100 * high : value, mark, percent(value / 100)};
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

std::string reliability_plot(const CalibrationMetrics& calibration) {
  Plot plot("Reliability diagram: share of right rows against confidence", {0.5, 1, "confidence", false},
            {0, 1, "share that is right", false});
  plot.rule({0.5, 0.5}, {1, 1});
  const auto add = [&](const std::vector<ReliabilityBin>& bins, const char* mark, const char* shape) {
    std::vector<Point> points;
    for (const ReliabilityBin& bin : bins) {
      if (bin.confidence && bin.accuracy) points.emplace_back(*bin.confidence, *bin.accuracy);
    }
    plot.line(points, mark);
    plot.dots(points, mark, shape, 3.5);
  };
  add(calibration.reliability, "a", "fill");
  add(calibration.reliability_scaled, "b", "ring");
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

/// @param group  its key in SubsetMetrics
std::string subset_title(std::string_view group) {
  if (group == "length_ratio") return "length of chosen over rejected";
  if (group == "margin") return "stated margin";
  if (group == "subset") return "subset of the data";
  return "section of RewardBench";
}

}  // namespace

void accuracy_section(Page& page, const RunMetrics& metrics) {
  page.section("accuracy", "How good is the head?");
  const EvaluationMetrics& evaluation = metrics.evaluation;
  page.paragraph(fmt::format("On {} rows that the head has not seen ({}). A row is right when the {}; {} ties.",
                             grouped(evaluation.rows), evaluation.held_out.value_or(""),
                             evaluation.pairs ? "chosen response scores strictly higher than the rejected one"
                                              : "score has the sign of the label",
                             evaluation.ties));
  std::vector<IntervalRow> shown;
  std::vector<std::vector<std::string>> table;
  const auto add = [&](const std::optional<Estimate>& share, const std::string& name, const char* mark) {
    if (!share) return;
    shown.push_back(interval_row(*share, name, mark));
    table.push_back({name, percent(share->value), interval_text(share->ci95, 100)});
  };
  const LabelledMetrics labelled = evaluation.labelled.value_or(LabelledMetrics{});
  add(evaluation.accuracy(), "this head", "a");
  if (evaluation.logistic) add(evaluation.logistic->accuracy, "logistic regression, same features", "c");
  add(evaluation.length.longer_accuracy, "the longer answer wins", "c");
  add(labelled.majority_accuracy, "always the more frequent label", "c");
  add(evaluation.coin, "a coin", "c");
  add(labelled.balanced_accuracy, "this head, mean over both labels", "a");
  add(labelled.area, "this head, area under the ROC curve", "a");
  add(evaluation.length.controlled_accuracy, "this head, at equal lengths", "a");
  page.start_columns();
  page.figure("fig-accuracy", interval_plot("Accuracy with 95 % intervals", shown, percent_axis(shown, "per cent"), 50),
              {{"a", "this head"}, {"c", "baselines"}},
              "95 % intervals. That of the coin: where the accuracy of a coin on so many rows would lie.");
  if (const std::optional<double> trained =
          evaluation.pairs ? metrics.trained.pair_accuracy : metrics.trained.accuracy) {
    table.push_back({"this head, on its training rows", percent(*trained), ""});
  }
  page.table({{"", Kind::Text}, {"Accuracy", Kind::Number}, {"95 % interval", Kind::Number}}, table);
  page.end_columns();
  if (evaluation.logistic) {
    const LogisticMetrics& logistic = *evaluation.logistic;
    page.paragraph(fmt::format(
        "Against logistic regression on the same rows: {:+.2f} points ({}). {} rows only the head gets right, {} only "
        "logistic regression; exact paired test: p = {:.3g}.",
        100 * logistic.difference.value, interval_text(logistic.difference.ci95, 100),
        grouped(logistic.head_only_right), grouped(logistic.logistic_only_right), logistic.p_value));
  }
}

void seeds_section(Page& page, const RunMetrics& metrics) {
  if (!metrics.seeds) return;
  const SeedMetrics& seeds = *metrics.seeds;
  page.section("seeds", "Does it depend on the seed?");
  page.paragraph(fmt::format(
      "{} runs. The seed draws gates and folds, and the held-out rows where a share of the training data is held out. "
      "The head that was written, and everything else here, is of the first.",
      seeds.seeds.size()));
  std::vector<DotRow> dots;
  std::vector<std::vector<std::string>> table;
  std::vector<double> shown;
  const auto add = [&](const SpreadMetrics& spread, const std::string& name, const char* mark) {
    table.push_back({name, fmt::format("{:.2f}", 100 * spread.mean), fmt::format("{:.2f}", 100 * spread.deviation)});
    if (*mark == 0) return;
    DotRow row{name, {}};
    for (const double value : spread.values) {
      shown.push_back(100 * value);
      row.dots.emplace_back(shown.back(), mark);
    }
    dots.push_back(std::move(row));
  };
  add(seeds.accuracy, "this head", "a");
  add(seeds.logistic_accuracy, "logistic regression", "c");
  add(seeds.difference, "difference, points", "");
  page.start_columns();
  page.figure("fig-seeds", dot_plot("Accuracy of each seed", dots, Axis::around(shown, "per cent")), {},
              "One dot for each seed.");
  page.end_columns();
  page.table({{"", Kind::Text}, {"Mean, %", Kind::Number}, {"Standard deviation", Kind::Number}}, table);
}

void token_section(Page& page, const RunMetrics& metrics) {
  page.section("token-head", "The token head");
  if (!metrics.token_head) {
    page.note("There is none: guidance by token is not possible with this head.");
    return;
  }
  const TokenHeadMetrics& token = *metrics.token_head;
  const ContextFreeMetrics& without = token.context_free;
  page.paragraph(token.accuracy.ci95.is_known()
                     ? "How often the sum of its token scores is right on held-out rows."
                     : "How often the sum of its token scores is right on the folds of its selection.");
  std::vector<IntervalRow> rows{interval_row(token.accuracy, "token head", "a"),
                                interval_row(without.accuracy, "without context: a fixed bias", "c")};
  page.start_columns();
  page.figure("fig-token", interval_plot("Accuracy of the token head", rows, percent_axis(rows, "per cent"), 50),
              {{"a", "token head"}, {"c", "its baseline"}}, "95 % intervals where rows were held out.");
  const auto row = [](const std::string& name, const Estimate& accuracy, const TokenProgramMetrics& program) {
    return std::vector<std::string>{name, percent(accuracy.value), interval_text(accuracy.ci95, 100),
                                    fmt::format("{:.1e}", program.relative_gap)};
  };
  page.table(
      {{"", Kind::Text}, {"Accuracy", Kind::Number}, {"95 % interval", Kind::Number}, {"Duality gap", Kind::Number}},
      {row("token head", token.accuracy, token.program), row("without context", without.accuracy, without.program)});
  page.end_columns();
  const std::string& share = token.share_of_tokens;
  page.note(fmt::format("Rank {}. Fitted to {} of the training responses. Ended: {}, without context {}.", token.rank,
                        share == "1" ? "all tokens" : "a share of " + share + " of the tokens",
                        name_of(token.program.status), name_of(without.program.status)));
}

void margin_section(Page& page, const RunMetrics& metrics, const EvaluatedRows& rows) {
  const std::optional<PairMetrics>& pairs = metrics.evaluation.pairs;
  const TrainedRowMetrics& trained = metrics.trained;
  page.section("margins", "Margins");
  page.start_columns();
  page.figure("fig-margins", margin_histogram(rows.margins, pairs.has_value()), {{"a", "right"}, {"b", "wrong"}},
              "Held-out rows. The outer columns hold everything beyond them.");
  std::vector<std::vector<std::string>> table;
  const auto add = [&](const std::string& name, const Estimate& held_out, const std::optional<double>& training) {
    table.push_back({name, fmt::format("{:.4f}", held_out.value), interval_text(held_out.ci95, 1),
                     training ? fmt::format("{:.4f}", *training) : ""});
  };
  if (pairs) {
    add("margin, chosen minus rejected", pairs->margin, trained.margin);
    add("score of chosen responses", pairs->chosen, trained.chosen);
    add("score of rejected responses", pairs->rejected, trained.rejected);
    add("sigmoid of the margin (the paper's reward margin)", pairs->probability, std::nullopt);
  }
  add("loss, log(1 + exp(-margin))", metrics.evaluation.loss, trained.loss);
  page.table({{"Mean of", Kind::Text},
              {"Held out", Kind::Number},
              {"95 % interval", Kind::Number},
              {"Training rows", Kind::Number}},
             table);
  page.end_columns();
}

void calibration_section(Page& page, const RunMetrics& metrics) {
  const CalibrationMetrics& calibration = metrics.evaluation.calibration;
  page.section("calibration", "Can its probabilities be believed?");
  page.start_columns();
  page.figure("fig-reliability", reliability_plot(calibration), {{"a", "sigmoid(margin)"}, {"b", "with a temperature"}},
              "Of all rows with one confidence, the share that is right; on the dashed line both are equal.");
  page.facts({{"expected calibration error", percent(calibration.expected_error)},
              {"after temperature scaling", percent(calibration.expected_error_scaled)},
              {"temperature", fmt::format("{:.3f}", calibration.temperature)}},
             Kind::Number);
  page.end_columns();
}

void length_section(Page& page, const RunMetrics& metrics, const EvaluatedRows& rows) {
  page.section("length", "Does it reward length?");
  if (rows.lengths.empty()) {
    page.note("The features hold no lengths: this cannot be told.");
    return;
  }
  const std::size_t shown = std::min(rows.scores.size(), kMostDots);
  page.start_columns();
  page.figure("fig-length", length_plot(rows, metrics.evaluation.pairs.has_value()), {{"a", "right"}, {"b", "wrong"}},
              fmt::format("{} of {} held-out rows; what lies outside is drawn on the edge.", grouped(shown),
                          grouped(rows.scores.size())));
  std::vector<std::pair<std::string, std::string>> facts;
  const LengthMetrics& length = metrics.evaluation.length;
  if (length.correlation) {
    facts.emplace_back("correlation of score and length", fmt::format("{:.3f}", *length.correlation));
  }
  if (length.controlled_accuracy) {
    facts.emplace_back("accuracy at equal lengths", fmt::format("{} ({})", percent(length.controlled_accuracy->value),
                                                                interval_text(length.controlled_accuracy->ci95, 100)));
  }
  if (length.controlled_slope) {
    facts.emplace_back("slope of being right on the length difference",
                       fmt::format("{:.3f}", *length.controlled_slope));
  }
  facts.emplace_back("length control in training", name_of(metrics.solver.length_control));
  page.facts(facts);
  page.end_columns();
}

void subset_section(Page& page, const RunMetrics& metrics) {
  page.section("subsets", "Where is it good?");
  if (!metrics.evaluation.subsets) {
    page.note("The data have neither lengths of pairs nor margins to divide them by.");
    return;
  }
  page.start_columns();
  SubsetMetrics::list(*metrics.evaluation.subsets, [&page](const Metric& group, const auto& subsets) {
    if (!subsets) return;
    std::vector<IntervalRow> rows;
    for (const SubsetAccuracy& part : *subsets) {
      rows.push_back(interval_row(part.accuracy, fmt::format("{} ({} rows)", part.subset, grouped(part.rows)), "a"));
    }
    const std::string title = subset_title(group.key);
    page.figure(fmt::format("fig-subsets-{}", group.key),
                interval_plot("Accuracy by " + title, rows, percent_axis(rows, "per cent"), 50), {},
                "Accuracy by " + title + ", with 95 % intervals.");
  });
  page.end_columns();
}

}  // namespace coala
