#include "report/checks.h"

#include <fmt/format.h>

#include "report/markup.h"
#include "report/values.h"

namespace coala {
namespace {

constexpr double kMostTruncated = 0.1;  ///< share of records with a shortened response

void add_leaks(const EvaluationMetrics& metrics, std::vector<Check>& checks) {
  if (!metrics.leaks) return;
  const auto add = [&](std::uint64_t count, const char* expected, const char* failure) {
    checks.push_back({expected, failure, fmt::format("{} of {} evaluation rows", grouped(count), grouped(metrics.rows)),
                      count == 0});
  };
  add(metrics.leaks->shared_prompt_rows, "No evaluation prompt is in the training data",
      "Prompts of evaluation rows are in the training data: the numbers flatter the head");
  add(metrics.leaks->identical_rows, "No evaluation response has the features of a training response",
      "Evaluation responses are in the training data: the numbers flatter the head");
  add(metrics.leaks->near_duplicate_rows, "No evaluation response is nearly a training response",
      "Evaluation responses are nearly those of the training data: the numbers flatter the head");
}

void add_quality(const EvaluationMetrics& metrics, std::vector<Check>& checks) {
  const auto& [accuracy, interval] = metrics.accuracy();
  if (metrics.labelled && metrics.labelled->majority_accuracy) {
    const double majority = metrics.labelled->majority_accuracy->value;
    checks.push_back(
        {"The reward head is better than always giving the more frequent label",
         "The reward head may be no better than always giving the more frequent label",
         fmt::format("its interval begins at {}, and that gets {}", percent(interval.low), percent(majority)),
         interval.low > majority, true});
    const Interval& area = metrics.labelled->area.value().ci95;
    const double least = area.is_known() ? area.low : 0;
    checks.push_back({"The reward head tells good from bad", "The reward head may not tell good from bad",
                      fmt::format("the interval of its AUC begins at {:.3f}", least), least > 0.5, true});
  } else {
    checks.push_back({"The reward head is better than a coin", "The reward head may be no better than a coin",
                      fmt::format("its interval begins at {}", percent(interval.low)), interval.low > 0.5, true});
  }
  if (metrics.length.longer_accuracy) {
    const double longer = metrics.length.longer_accuracy->value;
    checks.push_back({"The reward head is better than \"the longer answer wins\"",
                      "\"The longer answer wins\" is as good as the reward head",
                      fmt::format("{} against {}", percent(accuracy), percent(longer)), accuracy > longer, true});
  }
  if (metrics.logistic && metrics.logistic->difference.ci95.is_known()) {
    const double high = metrics.logistic->difference.ci95.high;
    checks.push_back({"The reward head is not clearly worse than logistic regression",
                      "The reward head is worse than logistic regression",
                      fmt::format("the difference is at most {:+.2f} points", 100 * high), high >= 0, true});
  }
}

void add_solution(const SolverMetrics& solver, std::vector<Check>& checks) {
  if (solver.model_class != ModelClass::Cronos) {  // which stops after a number of iterations, as published
    const std::string gap = solver.relative_gap ? fmt::format(", duality gap {:.1e}", *solver.relative_gap) : "";
    checks.push_back({"Phase I is solved to its tolerance", "Phase I is not solved to its tolerance",
                      std::string(status_name(solver.status)) + gap, solver.status == SolveStatus::Solved, true});
  }
  const bool cut_short = solver.selection_cut_short;
  checks.push_back({"The selection saw all of its path", "The selection did not see all of its path",
                    cut_short ? "the time limit ended it" : "it did", !cut_short, true});
}

void add_data(const RunMetrics& metrics, std::vector<Check>& checks) {
  const DataMetrics& data = metrics.inputs.data;
  checks.push_back({"The features say which model they are of", "The features do not say which model they are of",
                    data.model.value_or("they do not: the head is unbound"), data.model.has_value()});
  if (data.control) {
    checks.push_back({"The preferences are true ones", "The preferences are not true ones", *data.control, false});
  }
  if (metrics.extraction) {
    const std::uint64_t records = metrics.extraction->records;
    const std::uint64_t truncated = metrics.extraction->truncated_responses;
    const bool passes = static_cast<double>(truncated) <= kMostTruncated * static_cast<double>(records);
    checks.push_back({"Hardly any response is cut at the maximum length",
                      "Many responses are cut at the maximum length: the head judges beginnings",
                      fmt::format("{} responses of {} records are", grouped(truncated), grouped(records)), passes});
  }
}

}  // namespace

std::vector<Check> run_checks(const RunMetrics& metrics) {
  std::vector<Check> checks;
  add_leaks(metrics.evaluation, checks);
  add_quality(metrics.evaluation, checks);
  add_solution(metrics.solver, checks);
  add_data(metrics, checks);
  return checks;
}

}  // namespace coala
