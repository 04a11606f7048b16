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

std::vector<Stage> stages(const RunMetrics& metrics) {
  std::vector<Stage> result;
  const FlopMetrics& flops = metrics.flops;
  const SolverMetrics& solver = metrics.solver;
  if (metrics.extraction) {
    const ExtractionMetrics& extraction = *metrics.extraction;
    result.push_back(
        {"extraction", extraction.seconds, flops.extraction.value(),
         fmt::format("{} tokens, {} evaluated", grouped(extraction.tokens), grouped(extraction.evaluated_tokens))});
  }
  result.push_back({"Phase I: selection", solver.selection_seconds, -1, ""});
  result.push_back({"Phase I: final fit", solver.seconds - solver.selection_seconds, flops.phase_one,
                    fmt::format("{} passes over the features with the selection, whose operations are counted here",
                                grouped(solver.passes_over_x))});
  result.push_back({"Phase II", metrics.phase_two.seconds, flops.phase_two, ""});
  if (metrics.token_head) {
    const TokenHeadMetrics& token = *metrics.token_head;
    result.push_back({"token head",
                      token.program.seconds + token.context_free.program.seconds + token.selection_seconds,
                      flops.token_head, "with its selection"});
  }
  if (metrics.seeds) {
    result.push_back({"runs with other seeds", metrics.seeds->seconds, -1, "operations are not counted"});
  }
  double rest = metrics.seconds;
  for (const Stage& stage : result) rest -= stage.seconds;
  result.push_back({"the rest", std::max(0.0, rest), -1, "reading, evaluation, intervals"});
  return result;
}

std::string published_plot(const FlopMetrics& flops) {
  std::vector<DotRow> rows{{"this run, counted", {{flops.total / 1e12, "good"}}}};
  if (flops.paper_formula) {
    rows.push_back({"this run, as the paper counts", {{*flops.paper_formula / 1e12, "good"}}});
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

void cost_section(Page& page, const RunMetrics& metrics) {
  page.section("cost", "What it cost");
  std::vector<BarRow> bars;
  std::vector<std::vector<std::string>> table;
  for (const Stage& stage : stages(metrics)) {
    bars.push_back({stage.name, stage.seconds, duration(stage.seconds), "a"});
    table.push_back({stage.name, duration(stage.seconds),
                     stage.flops < 0 ? "" : fmt::format("{:.3g}", stage.flops / 1e12), stage.note});
  }
  table.push_back({"all", duration(metrics.seconds), fmt::format("{:.3g}", metrics.flops.total / 1e12), ""});
  page.start_columns();
  page.figure("fig-time", bar_plot("Seconds of each stage", bars), {}, "Wall-clock time of each stage of this run.");
  page.figure("fig-flops", published_plot(metrics.flops),
              {{"good", "this run"}, {"a", "COALA"}, {"b", "DPO"}, {"bad", "ORPO"}, {"c", "SFT"}},
              "Below the first lines: published, not measured here, with other models, data and machines.");
  page.end_columns();
  page.table({{"Stage", Kind::Text}, {"Time", Kind::Number}, {"TFLOP", Kind::Number}, {"", Kind::Text}}, table);
  page.facts({{"peak memory", fmt::format("{:.0f} MiB", static_cast<double>(metrics.peak_rss_bytes) / 1048576)},
              {"features in the solver",
               fmt::format("{:.1f} MiB", static_cast<double>(metrics.solver.bytes_of_x) / 1048576)}});
  if (metrics.extraction && metrics.extraction->up_to_date) {
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
