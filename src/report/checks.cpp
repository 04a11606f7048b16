#include "report/checks.h"

#include <fmt/format.h>

#include "report/markup.h"

namespace coala {
namespace {

constexpr double kMostTruncated = 0.1;  ///< share of records with a shortened response

void add_leaks(const Json& metrics, std::vector<Check>& checks) {
  const auto rows = metrics.at("eval_rows").get<std::uint64_t>();
  const auto add = [&](const char* key, const char* expected, const char* failure) {
    if (!metrics.contains(key)) return;
    const auto count = metrics.at(key).get<std::uint64_t>();
    checks.push_back(
        {expected, failure, fmt::format("{} of {} evaluation rows", grouped(count), grouped(rows)), count == 0});
  };
  add("leak/shared_prompt_rows", "No evaluation prompt is in the training data",
      "Prompts of evaluation rows are in the training data: the numbers flatter the head");
  add("leak/identical_rows", "No evaluation response has the features of a training response",
      "Evaluation responses are in the training data: the numbers flatter the head");
  add("leak/near_duplicate_rows", "No evaluation response is nearly a training response",
      "Evaluation responses are nearly those of the training data: the numbers flatter the head");
}

void add_quality(const Json& metrics, std::vector<Check>& checks) {
  const std::string key = accuracy_key(metrics);
  const double accuracy = metrics.at(key).get<double>();
  const double low = metrics.at(key + "_ci95").at(0).get<double>();
  if (metrics.contains("baseline/majority_accuracy")) {
    const double majority = metrics.at("baseline/majority_accuracy").get<double>();
    checks.push_back({"The reward head is better than always giving the more frequent label",
                      "The reward head may be no better than always giving the more frequent label",
                      fmt::format("its interval begins at {}, and that gets {}", percent(low), percent(majority)),
                      low > majority, true});
    const double area = metrics.contains("auc_ci95") ? metrics.at("auc_ci95").at(0).get<double>() : 0;
    checks.push_back({"The reward head tells good from bad", "The reward head may not tell good from bad",
                      fmt::format("the interval of its AUC begins at {:.3f}", area), area > 0.5, true});
  } else {
    checks.push_back({"The reward head is better than a coin", "The reward head may be no better than a coin",
                      fmt::format("its interval begins at {}", percent(low)), low > 0.5, true});
  }
  if (metrics.contains("baseline/length_accuracy")) {
    const double longer = metrics.at("baseline/length_accuracy").get<double>();
    checks.push_back({"The reward head is better than \"the longer answer wins\"",
                      "\"The longer answer wins\" is as good as the reward head",
                      fmt::format("{} against {}", percent(accuracy), percent(longer)), accuracy > longer, true});
  }
  if (metrics.contains("comparison/difference_ci95")) {
    const double high = metrics.at("comparison/difference_ci95").at(1).get<double>();
    checks.push_back({"The reward head is not clearly worse than logistic regression",
                      "The reward head is worse than logistic regression",
                      fmt::format("the difference is at most {:+.2f} points", 100 * high), high >= 0, true});
  }
}

void add_solution(const Json& metrics, std::vector<Check>& checks) {
  const Json& solver = metrics.at("solver");
  const std::string status = solver.at("status").get<std::string>();
  if (solver.at("model_class") != "cronos") {  // which stops after a number of iterations, as published
    const std::string gap = solver.contains("relative_gap")
                                ? fmt::format(", duality gap {:.1e}", solver.at("relative_gap").get<double>())
                                : "";
    checks.push_back({"Phase I is solved to its tolerance", "Phase I is not solved to its tolerance", status + gap,
                      status == "Solved", true});
  }
  const bool cut_short = solver.at("selection_cut_short").get<bool>();
  checks.push_back({"The selection saw all of its path", "The selection did not see all of its path",
                    cut_short ? "the time limit ended it" : "it did", !cut_short, true});
}

void add_data(const Json& metrics, std::vector<Check>& checks) {
  if (metrics.contains("data")) {
    const Json& data = metrics.at("data");
    checks.push_back({"The features say which model they are of", "The features do not say which model they are of",
                      data.contains("model") ? data.at("model").get<std::string>() : "they do not: the head is unbound",
                      data.contains("model")});
    if (data.contains("control")) {
      checks.push_back({"The preferences are true ones", "The preferences are not true ones",
                        data.at("control").get<std::string>(), false});
    }
  }
  if (metrics.contains("extract")) {
    const Json& extract = metrics.at("extract");
    const auto records = extract.at("records").get<std::uint64_t>();
    const auto truncated = extract.at("truncated_responses").get<std::uint64_t>();
    const bool passes = static_cast<double>(truncated) <= kMostTruncated * static_cast<double>(records);
    checks.push_back({"Hardly any response is cut at the maximum length",
                      "Many responses are cut at the maximum length: the head judges beginnings",
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
