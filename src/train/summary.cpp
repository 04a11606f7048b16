#include "train/summary.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/utf8.h"

namespace coala {
namespace {

/// With fewer held-out prompts an accuracy is known to 18 points at best (the half-width of a coin's 95 % interval).
constexpr std::uint64_t kFewPrompts = 30;
/// With fewer, a coin may look like a good head.
constexpr std::uint64_t kTooFewPrompts = 10;

std::string few_prompts_text(const nlohmann::ordered_json& metrics) {
  const auto prompts = metrics.find("eval_prompts");
  const auto coin = metrics.find("baseline/random_accuracy_ci95");
  if (prompts == metrics.end() || coin == metrics.end() || prompts->get<std::uint64_t>() >= kFewPrompts) return "";
  const auto count = prompts->get<std::uint64_t>();
  return fmt::format("  {} held-out prompt{}, where a coin gets {:.0f} to {:.0f} % right: what follows says {}\n",
                     count, count == 1 ? "" : "s", 100 * (*coin)[0].get<double>(), 100 * (*coin)[1].get<double>(),
                     count < kTooFewPrompts ? "nothing of the head" : "little of the head");
}

}  // namespace

std::string summary(const nlohmann::ordered_json& metrics) {
  std::string text;
  const auto out = std::back_inserter(text);
  const auto line = [&](const char* key, const char* name, double factor, const char* unit) {
    const auto value = metrics.find(key);
    if (value == metrics.end()) return;
    fmt::format_to(out, "  {:<28} {:8.2f}{}", name, factor * value->get<double>(), unit);
    const auto interval = metrics.find(std::string(key) + "_ci95");
    if (interval != metrics.end()) {
      fmt::format_to(out, "  [{:.2f}, {:.2f}]", factor * (*interval)[0].get<double>(),
                     factor * (*interval)[1].get<double>());
    }
    text += '\n';
  };
  if (metrics.contains("evaluation")) {
    fmt::format_to(out, "held-out rows: {} ({})\n", metrics.at("eval_rows").get<std::uint64_t>(),
                   metrics.at("evaluation").get<std::string>());
  }
  text += few_prompts_text(metrics);
  line("eval_rewards/accuracies", "pair accuracy", 100, " %");
  line("eval_accuracy", "accuracy", 100, " %");
  line("baseline/logistic_accuracy", "  logistic regression", 100, " %");
  line("baseline/length_accuracy", "  longer answer wins", 100, " %");
  line("baseline/majority_accuracy", "  more frequent label", 100, " %");
  line("comparison/p_value", "  p, head against logistic", 1, "");
  line("balanced_accuracy", "balanced accuracy", 100, " %");
  line("auc", "area under the ROC curve", 100, " %");
  if (metrics.contains("seeds")) {
    const auto& accuracy = metrics.at("seeds").at("accuracy");
    fmt::format_to(out, "  {:<28} {:8.2f} %  (standard deviation {:.2f}; {} seeds)\n", "  mean over seeds",
                   100 * accuracy.at("mean").get<double>(), 100 * accuracy.at("deviation").get<double>(),
                   accuracy.at("values").size());
  }
  line("eval_rewards/margins", "reward margin (raw)", 1, "");
  line("eval_reward_margin", "reward margin (0..1)", 1, "");
  line("score_length_correlation", "score-length correlation", 1, "");
  line("length_controlled_accuracy", "accuracy at equal lengths", 100, " %");
  line("calibration/expected_error", "calibration error", 100, " %");
  line("calibration/expected_error_scaled", "  after temperature scaling", 100, " %");
  for (const auto& [group, title] :
       {std::pair("subset", "by subset"), std::pair("reward_bench", "RewardBench (overall: its four sections)")}) {
    if (!metrics.contains("accuracy_by_subset") || !metrics.at("accuracy_by_subset").contains(group)) continue;
    fmt::format_to(out, "  {}\n", title);
    for (const auto& subset : metrics.at("accuracy_by_subset").at(group)) {
      const auto& interval = subset.at("accuracy_ci95");
      fmt::format_to(out, "    {:<26} {:8.2f} %  [{:.2f}, {:.2f}]  ({} rows)\n",
                     printable(subset.at("subset").get<std::string>()), 100 * subset.at("accuracy").get<double>(),
                     100 * interval[0].get<double>(), 100 * interval[1].get<double>(),
                     subset.at("rows").get<std::uint64_t>());
    }
  }
  if (metrics.contains("token_head")) {
    const auto& token = metrics.at("token_head");
    fmt::format_to(out, "  {:<28} {:8.2f} %  (without context {:.2f} %)\n", "token head, accuracy",
                   100 * token.at("accuracy").get<double>(),
                   100 * token.at("context_free").at("accuracy").get<double>());
  }
  if (metrics.contains("solver")) {
    const auto& solver = metrics.at("solver");
    fmt::format_to(out, "  {:<28} {} ({} neurons, {} loss), {}", "Phase I", solver.at("selected").get<std::string>(),
                   solver.at("neurons").get<std::uint64_t>(), solver.at("loss").get<std::string>(),
                   solver.at("status").get<std::string>());
    if (solver.contains("relative_gap"))
      fmt::format_to(out, ", duality gap {:.1e}", solver.at("relative_gap").get<double>());
    fmt::format_to(out, ", {:.1f} s\n", solver.at("seconds").get<double>());
  }
  return text;
}

}  // namespace coala
