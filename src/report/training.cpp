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
std::string path_plot(const Json& path) {
  struct Family {
    const char* name;
    const char* mark;
    double strongest = 0;
    std::vector<const Json*> points;
  };
  std::vector<Family> families{{"linear", "c", 0, {}}, {"gated", "a", 0, {}}};
  std::vector<double> losses;
  double weakest = 1;
  for (Family& family : families) {
    for (const Json& point : path) {
      if (point.at("model") != family.name) continue;
      family.points.push_back(&point);
      family.strongest = std::max(family.strongest, point.at("penalty_ratio").get<double>());
      losses.push_back(point.at("held_out_loss").get<double>());
    }
    for (const Json* point : family.points) {
      weakest = std::min(weakest, point->at("penalty_ratio").get<double>() / family.strongest);
    }
  }
  Plot plot("Held-out loss along the regularisation path",
            {std::min(weakest, 0.1) / 1.3, 1.3, "penalty / strongest penalty", true},
            Axis::around(losses, "held-out loss"));
  for (const Family& family : families) {
    std::vector<Point> line;
    std::vector<Point> others;
    for (const Json* point : family.points) {
      const double x = point->at("penalty_ratio").get<double>() / family.strongest;
      const double loss = point->at("held_out_loss").get<double>();
      const bool on_path =
          point->at("gate_refinements").get<int>() == 0 && point->at("linear_weight").get<double>() == 1;
      (on_path ? line : others).emplace_back(x, loss);
    }
    std::ranges::sort(line);  // a path is judged from its middle
    plot.line(line, family.mark);
    plot.dots(line, family.mark, "fill", 2);
    plot.dots(others, family.mark, "ring", 3);
  }
  for (const Family& family : families) {
    for (const Json* point : family.points) {
      if (!point->at("chosen").get<bool>()) continue;
      const double x = point->at("penalty_ratio").get<double>() / family.strongest;
      const double loss = point->at("held_out_loss").get<double>();
      const double error = point->at("held_out_error").get<double>();
      plot.whisker(x, loss - error, loss + error, "b");
      plot.dots({{x, loss}}, "b", "fill", 5);
      plot.label({x, loss}, "chosen");
    }
  }
  return plot.finish();
}

std::string curve_plot(const std::string& name, const Json& curve, const char* key, const std::string& title) {
  std::vector<Point> points;
  std::vector<double> values;
  for (std::size_t k = 0; k < curve.at(key).size(); ++k) {
    points.emplace_back(curve.at("iteration")[k].get<double>(), curve.at(key)[k].get<double>());
    values.push_back(points.back().second);
  }
  Plot plot(name, {0, std::max(1.0, points.back().first), "iteration", false}, Axis::around(values, title));
  plot.line(points, "a");
  if (points.size() <= 30) plot.dots(points, "a", "fill", 3);
  return plot.finish();
}

}  // namespace

void selection_section(Page& page, const Json& metrics) {
  const Json& solver = metrics.at("solver");
  page.section("phase1", "Phase I: what was solved");
  page.start_columns();
  if (!solver.at("path").empty()) {
    page.figure("fig-path", path_plot(solver.at("path")), {{"a", "gated"}, {"c", "linear"}, {"b", "chosen"}},
                "Loss on the prompts of the selection's folds, which are training prompts. Rings: other gates or "
                "another weight of the linear group. The bar is a standard error.");
  } else {
    page.note("No path: this class takes its penalty as it is set.");
  }
  std::vector<std::pair<std::string, std::string>> facts{
      {"program", solver.at("model_class").get<std::string>()},
      {"loss", solver.at("loss").get<std::string>()},
      {"selected on held-out prompts", solver.at("selected").get<std::string>()},
      {"penalty", fmt::format("{:.4g}", solver.at("beta").get<double>())},
      {"neurons", grouped(solver.at("neurons").get<std::uint64_t>())},
      {"status", solver.at("status").get<std::string>()},
      {"objective", fmt::format("{:.6g}", solver.at("objective").get<double>())}};
  if (solver.contains("dual_objective")) {
    facts.emplace_back("certified lower bound", fmt::format("{:.6g}", solver.at("dual_objective").get<double>()));
    facts.emplace_back("relative duality gap", fmt::format("{:.1e}", solver.at("relative_gap").get<double>()));
  } else {
    facts.emplace_back("certificate", "none: this class stops early, as published");
  }
  if (solver.contains("device")) facts.emplace_back("gated program computed on", solver["device"].get<std::string>());
  page.facts(facts);
  page.end_columns();
}

void phase_two_section(Page& page, const Json& metrics) {
  const Json& phase_two = metrics.at("phase2");
  page.section("phase2", "Phase II: the preference loss");
  const Json& curve = phase_two.at("curve");
  page.start_columns();
  page.figure("fig-phase2-loss", curve_plot("Phase II: mean loss by iteration", curve, "loss", "mean loss"), {},
              "Mean loss of the rows that Phase II is fitted to, from Phase I's second layer on.");
  page.figure("fig-phase2-reward",
              curve_plot("Phase II: mean reward margin by iteration", curve, "margin", "mean margin"), {},
              "Mean reward margin of the same rows: how far they are on their right side.");
  page.end_columns();
  page.facts({{"objective", phase_two.at("objective_name").get<std::string>()},
              {"method", phase_two.at("solver").get<std::string>()},
              {"status", phase_two.at("status").get<std::string>()},
              {"iterations", grouped(phase_two.at("iterations").get<std::uint64_t>())},
              {"mean loss", fmt::format("{:.5f}, from {:.5f}", phase_two.at("objective").get<double>(),
                                        phase_two.at("objective_before").get<double>())},
              {"gradient norm", fmt::format("{:.1e}", phase_two.at("gradient_norm").get<double>())}});
}

}  // namespace coala
