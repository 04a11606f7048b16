// What the run cost, beside published figures.
#include <fmt/format.h>

#include <algorithm>

#include "report/markup.h"
#include "report/method_cost.h"
#include "report/row_plots.h"
#include "report/sections.h"

namespace coala {
namespace {

using Kind = Column::Kind;

struct Stage {
  std::string name;
  double seconds = 0;
  double flops = -1;  ///< negative: not counted apart
  std::string note;
};

std::vector<Stage> stages(const Json& metrics) {
  std::vector<Stage> result;
  const Json& flops = metrics.at("flops");
  const Json& solver = metrics.at("solver");
  if (metrics.contains("extract")) {
    const Json& extract = metrics.at("extract");
    result.push_back({"extraction", extract.at("seconds").get<double>(), flops.at("extraction").get<double>(),
                      fmt::format("{} tokens, {} evaluated", grouped(extract.at("tokens").get<std::uint64_t>()),
                                  grouped(extract.at("evaluated_tokens").get<std::uint64_t>()))});
  }
  const double selection = solver.at("selection_seconds").get<double>();
  result.push_back({"Phase I: selection", selection, -1, ""});
  result.push_back({"Phase I: final fit", solver.at("seconds").get<double>() - selection,
                    flops.at("phase1").get<double>(),
                    fmt::format("{} passes over the features with the selection, whose operations are counted here",
                                grouped(solver.at("passes_over_x").get<std::uint64_t>()))});
  result.push_back(
      {"Phase II", metrics.at("phase2").at("seconds").get<double>(), flops.at("phase2").get<double>(), ""});
  if (metrics.contains("token_head")) {
    const Json& token = metrics.at("token_head");
    result.push_back({"token head",
                      token.at("seconds").get<double>() + token.at("context_free").at("seconds").get<double>() +
                          token.at("selection_seconds").get<double>(),
                      flops.at("token_head").get<double>(), "with its selection"});
  }
  if (metrics.contains("seeds")) {
    result.push_back(
        {"runs with other seeds", metrics.at("seeds").at("seconds").get<double>(), -1, "operations are not counted"});
  }
  double rest = metrics.at("seconds").get<double>();
  for (const Stage& stage : result) rest -= stage.seconds;
  result.push_back({"the rest", std::max(0.0, rest), -1, "reading, evaluation, intervals"});
  return result;
}

std::string published_plot(const Json& metrics) {
  const Json& flops = metrics.at("flops");
  std::vector<DotRow> rows{{"this run, counted", {{flops.at("total").get<double>() / 1e12, "good"}}}};
  if (flops.contains("paper_formula")) {
    rows.push_back({"this run, as the paper counts", {{flops.at("paper_formula").get<double>() / 1e12, "good"}}});
  }
  double low = 100;
  for (const DotRow& row : rows) low = std::min(low, row.dots[0].first);
  for (const PublishedCost& published : kPublishedCosts) {
    rows.push_back({std::string(published.model) + " (published)",
                    {{published.coala, "a"}, {published.dpo, "b"}, {published.orpo, "bad"}, {published.sft, "c"}}});
  }
  return dot_plot("Floating-point operations of this run beside published ones", rows,
                  {std::max(low / 2, 1e-9), 3e4, "TFLOP, logarithmic", true});
}

}  // namespace

void cost_section(Page& page, const Json& metrics) {
  page.section("cost", "What it cost");
  std::vector<BarRow> bars;
  std::vector<std::vector<std::string>> table;
  for (const Stage& stage : stages(metrics)) {
    bars.push_back({stage.name, stage.seconds, duration(stage.seconds), "a"});
    table.push_back({stage.name, duration(stage.seconds),
                     stage.flops < 0 ? "" : fmt::format("{:.3g}", stage.flops / 1e12), stage.note});
  }
  table.push_back({"all", duration(metrics.at("seconds").get<double>()),
                   fmt::format("{:.3g}", metrics.at("flops").at("total").get<double>() / 1e12), ""});
  page.start_columns();
  page.figure("fig-time", bar_plot("Seconds of each stage", bars), {}, "Wall-clock time of each stage of this run.");
  page.figure("fig-flops", published_plot(metrics),
              {{"good", "this run"}, {"a", "COALA"}, {"b", "DPO"}, {"bad", "ORPO"}, {"c", "SFT"}},
              "Below the first lines: published, not measured here, with other models, data and machines.");
  page.end_columns();
  page.table({{"Stage", Kind::Text}, {"Time", Kind::Number}, {"TFLOP", Kind::Number}, {"", Kind::Text}}, table);
  page.facts({{"peak memory", fmt::format("{:.0f} MiB", metrics.at("peak_rss_bytes").get<double>() / 1048576)},
              {"features in the solver",
               fmt::format("{:.1f} MiB", metrics.at("solver").at("bytes_of_x").get<double>() / 1048576)}});
  if (metrics.contains("extract") && metrics.at("extract").at("up_to_date").get<bool>()) {
    page.note("The features were there already: the time of their extraction is not in this run.");
  }

  std::vector<std::vector<std::string>> published;
  for (const PublishedCost& row : kPublishedCosts) {
    const auto number = [](double value) { return fmt::format("{:.0f}", value); };
    published.push_back({row.model, number(row.coala), number(row.dpo), number(row.orpo), number(row.sft)});
  }
  page.paragraph(
      "Published, not measured here: TFLOP of arXiv 2605.23244 on its data set EduFeedback (65,606 pairs). COALA there "
      "is seconds of training times 231 TFLOP/s of an RTX 4090, without extraction; DPO and ORPO are LoRA on an A100. "
      "They say what such training costs, not how this run compares with it.");
  page.table({{"Model (published)", Kind::Text},
              {"COALA", Kind::Number},
              {"DPO", Kind::Number},
              {"ORPO", Kind::Number},
              {"SFT", Kind::Number}},
             published);
}

}  // namespace coala
