// What was solved: Phase I with its selection, Phase II.
#include <fmt/format.h>

#include <algorithm>

#include "report/markup.h"
#include "report/plot.h"
#include "report/sections.h"

namespace coala {
namespace {

/// Held-out loss against the penalty, one line for each family of models. A family's penalties are shares of its
/// strongest one: those of different families have different units.
std::string path_plot(const std::vector<CandidateMetrics>& path) {
  struct Family {
    ModelClass model;
    const char* mark;
    double strongest = 0;
    std::vector<const CandidateMetrics*> points;
  };
  std::vector<Family> families{{ModelClass::Linear, "c", 0, {}}, {ModelClass::Gated, "a", 0, {}}};
  std::vector<double> losses;
  double weakest = 1;
  for (Family& family : families) {
    for (const CandidateMetrics& point : path) {
      if (point.model != family.model) continue;
      family.points.push_back(&point);
      family.strongest = std::max(family.strongest, point.penalty_ratio);
      losses.push_back(point.held_out_loss);
    }
    for (const CandidateMetrics* point : family.points) {
      weakest = std::min(weakest, point->penalty_ratio / family.strongest);
    }
  }
  Plot plot("Held-out loss along the regularisation path",
            {std::min(weakest, 0.1) / 1.3, 1.3, "penalty / strongest penalty", true},
            Axis::around(losses, "held-out loss"));
  for (const Family& family : families) {
    std::vector<Point> line;
    std::vector<Point> others;
    for (const CandidateMetrics* point : family.points) {
      const double x = point->penalty_ratio / family.strongest;
      const double loss = point->held_out_loss;
      const bool on_path = point->gate_refinements == 0 && point->linear_weight == 1;
      (on_path ? line : others).emplace_back(x, loss);
    }
    std::ranges::sort(line);  // a path is judged from its middle
    plot.line(line, family.mark);
    plot.dots(line, family.mark, "fill", 2);
    plot.dots(others, family.mark, "ring", 3);
  }
  for (const Family& family : families) {
    for (const CandidateMetrics* point : family.points) {
      if (!point->chosen) continue;
      const double x = point->penalty_ratio / family.strongest;
      const double loss = point->held_out_loss;
      const double error = point->held_out_error;
      plot.whisker(x, loss - error, loss + error, "b");
      plot.dots({{x, loss}}, "b", "fill", 5);
      plot.label({x, loss}, "chosen");
    }
  }
  return plot.finish();
}

/// @param values  at the iterations, [points]
std::string curve_plot(const std::string& name, const std::vector<std::uint64_t>& iterations,
                       const std::vector<double>& values, const std::string& title) {
  std::vector<Point> points;
  for (std::size_t k = 0; k < values.size(); ++k) points.emplace_back(static_cast<double>(iterations[k]), values[k]);
  Plot plot(name, {0, std::max(1.0, points.back().first), "iteration", false}, Axis::around(values, title));
  plot.line(points, "a");
  if (points.size() <= 30) plot.dots(points, "a", "fill", 3);
  return plot.finish();
}

}  // namespace

void selection_section(Page& page, const RunMetrics& metrics) {
  const SolverMetrics& solver = metrics.solver;
  page.section("phase1", "Phase I: what was solved");
  page.start_columns();
  if (!solver.path.empty()) {
    page.figure("fig-path", path_plot(solver.path), {{"a", "gated"}, {"c", "linear"}, {"b", "chosen"}},
                "Loss on the prompts of the selection's folds, which are training prompts. Rings: other gates or "
                "another weight of the linear group. The bar is a standard error.");
  } else {
    page.note("No path: this class takes its penalty as it is set.");
  }
  std::vector<std::pair<std::string, std::string>> facts{
      {"program", std::string(name_of(solver.model_class))},
      {"loss", std::string(name_of(solver.loss))},
      {"selected on held-out prompts", std::string(name_of(solver.selected))},
      {"penalty", fmt::format("{:.4g}", solver.beta)},
      {"neurons", grouped(solver.neurons)},
      {"status", std::string(name_of(solver.status))},
      {"objective", fmt::format("{:.6g}", solver.objective)}};
  if (solver.dual_objective && solver.relative_gap) {
    facts.emplace_back("certified lower bound", fmt::format("{:.6g}", *solver.dual_objective));
    facts.emplace_back("relative duality gap", fmt::format("{:.1e}", *solver.relative_gap));
  } else {
    facts.emplace_back("certificate", "none: this class stops early, as published");
  }
  if (solver.device) facts.emplace_back("gated program computed on", *solver.device);
  page.facts(facts);
  page.end_columns();
}

void phase_two_section(Page& page, const RunMetrics& metrics) {
  const PhaseTwoMetrics& phase_two = metrics.phase_two;
  page.section("phase2", "Phase II: the preference loss");
  const CurveMetrics& curve = phase_two.curve;
  page.start_columns();
  page.figure("fig-phase2-loss",
              curve_plot("Phase II: mean loss by iteration", curve.iteration, curve.loss, "mean loss"), {},
              "Mean loss of the rows that Phase II is fitted to, from Phase I's second layer on.");
  page.figure("fig-phase2-reward",
              curve_plot("Phase II: mean reward margin by iteration", curve.iteration, curve.margin, "mean margin"), {},
              "Mean reward margin of the same rows: how far they are on their right side.");
  page.end_columns();
  page.facts({{"objective", std::string(name_of(phase_two.objective_name))},
              {"method", std::string(name_of(phase_two.solver))},
              {"status", std::string(name_of(phase_two.status))},
              {"iterations", grouped(static_cast<std::uint64_t>(phase_two.iterations))},
              {"mean loss", fmt::format("{:.5f}, from {:.5f}", phase_two.objective, phase_two.objective_before)},
              {"gradient norm", fmt::format("{:.1e}", phase_two.gradient_norm)}});
}

}  // namespace coala
