#include "report/checks.h"

#include <fmt/format.h>

#include "report/markup.h"

namespace coala {
namespace {

constexpr double kMostTruncated = 0.1;  ///< share of records with a shortened response

void add_leaks(const Json& metrics, std::vector<Check>& checks) {
  const auto rows = metrics.at("eval_rows").get<std::uint64_t>();
  const auto add = [&](const char* key, const char* expected) {
    if (!metrics.contains(key)) return;
    const auto count = metrics.at(key).get<std::uint64_t>();
    checks.push_back({expected,
                      fmt::format("{} of {} evaluation rows do not hold to it", grouped(count), grouped(rows)),
                      count == 0});
  };
  add("leak/shared_prompt_rows", "No evaluation prompt is in the training data");
  add("leak/identical_rows", "No evaluation response has the features of a training response");
  add("leak/near_duplicate_rows", "No evaluation response is nearly a training response");
}

void add_quality(const Json& metrics, std::vector<Check>& checks) {
  const std::string key = accuracy_key(metrics);
  const double accuracy = metrics.at(key).get<double>();
  const double low = metrics.at(key + "_ci95").at(0).get<double>();
  if (metrics.contains("baseline/majority_accuracy")) {
    const double majority = metrics.at("baseline/majority_accuracy").get<double>();
    checks.push_back({"The head is better than always giving the more frequent label",
                      fmt::format("its interval begins at {}, and that gets {}", percent(low), percent(majority)),
                      low > majority});
    const double area = metrics.at("auc_ci95").at(0).get<double>();
    checks.push_back(
        {"The head tells good from bad", fmt::format("the interval of its AUC begins at {:.3f}", area), area > 0.5});
  } else {
    checks.push_back(
        {"The head is better than a coin", fmt::format("its interval begins at {}", percent(low)), low > 0.5});
  }
  if (metrics.contains("baseline/length_accuracy")) {
    const double longer = metrics.at("baseline/length_accuracy").get<double>();
    checks.push_back({"The head is better than \"the longer answer wins\"",
                      fmt::format("{} against {}", percent(accuracy), percent(longer)), accuracy > longer});
  }
  if (metrics.contains("comparison/difference_ci95")) {
    const double high = metrics.at("comparison/difference_ci95").at(1).get<double>();
    checks.push_back({"The head is not clearly worse than logistic regression",
                      fmt::format("the difference is at most {:+.2f} points", 100 * high), high >= 0});
  }
}

void add_solution(const Json& metrics, std::vector<Check>& checks) {
  const Json& solver = metrics.at("solver");
  const std::string status = solver.at("status").get<std::string>();
  if (solver.at("model_class") != "cronos") {  // which stops after a number of iterations, as published
    const std::string gap = solver.contains("relative_gap")
                                ? fmt::format(", duality gap {:.1e}", solver.at("relative_gap").get<double>())
                                : "";
    checks.push_back({"Phase I is solved to its tolerance", status + gap, status == "Solved"});
  }
  const bool cut_short = solver.at("selection_cut_short").get<bool>();
  checks.push_back({"The selection saw all of its path", cut_short ? "the time limit ended it" : "it did", !cut_short});
}

void add_data(const Json& metrics, std::vector<Check>& checks) {
  if (metrics.contains("data")) {
    const Json& data = metrics.at("data");
    checks.push_back({"The features say which model they are of",
                      data.contains("model") ? data.at("model").get<std::string>() : "they do not: the head is unbound",
                      data.contains("model")});
    if (data.contains("control")) {
      checks.push_back({"The preferences are true ones", data.at("control").get<std::string>(), false});
    }
  }
  if (metrics.contains("extract")) {
    const Json& extract = metrics.at("extract");
    const auto records = extract.at("records").get<std::uint64_t>();
    const auto truncated = extract.at("truncated_responses").get<std::uint64_t>();
    const bool passes = static_cast<double>(truncated) <= kMostTruncated * static_cast<double>(records);
    checks.push_back({"Hardly any response is cut at the maximum length",
                      fmt::format("{} responses of {} records are", grouped(truncated), grouped(records)), passes});
  }
}

}  // namespace

std::vector<Check> run_checks(const Json& metrics) {
  std::vector<Check> checks;
  add_leaks(metrics, checks);
  add_quality(metrics, checks);
  add_solution(metrics, checks);
  add_data(metrics, checks);
  return checks;
}

}  // namespace coala
