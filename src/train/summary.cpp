#include "train/summary.h"

#include <fmt/format.h>

#include "core/utf8.h"

namespace coala {
namespace {

/// With fewer held-out prompts an accuracy is known to 18 points at best (the half-width of a coin's 95 % interval).
constexpr std::uint64_t kFewPrompts = 30;
/// With fewer, a coin may look like a good head.
constexpr std::uint64_t kTooFewPrompts = 10;

std::string few_prompts_text(const EvaluationMetrics& metrics) {
  if (!metrics.prompts || *metrics.prompts >= kFewPrompts) return "";
  const std::uint64_t count = *metrics.prompts;
  const Interval& coin = metrics.coin.ci95;
  return fmt::format("  {} held-out prompt{}, where a coin gets {:.0f} to {:.0f} % right: what follows says {}\n",
                     count, count == 1 ? "" : "s", 100 * coin.low, 100 * coin.high,
                     count < kTooFewPrompts ? "nothing of the head" : "little of the head");
}

/// Lines of a name, a figure and its interval.
class Lines {
 public:
  void number(const char* name, double value, const char* unit = "") {
    text += fmt::format("  {:<28} {:8.2f}{}\n", name, value, unit);
  }
  void number(const char* name, const std::optional<double>& value) {
    if (value) number(name, *value);
  }
  void estimate(const char* name, const Estimate& estimate, double factor = 1, const char* unit = "") {
    text += fmt::format("  {:<28} {:8.2f}{}", name, factor * estimate.value, unit);
    const auto [low, high] = estimate.ci95;
    if (estimate.ci95.is_known()) text += fmt::format("  [{:.2f}, {:.2f}]", factor * low, factor * high);
    text += '\n';
  }
  void share(const char* name, const Estimate& share) { estimate(name, share, 100, " %"); }
  void share(const char* name, const std::optional<Estimate>& value) {
    if (value) share(name, *value);
  }
  void share(const char* name, double value) { number(name, 100 * value, " %"); }

  void subsets(const char* title, const std::optional<std::vector<SubsetAccuracy>>& parts) {
    if (!parts) return;
    text += fmt::format("  {}\n", title);
    for (const SubsetAccuracy& part : *parts) {
      const auto& [value, interval] = part.accuracy;
      text += fmt::format("    {:<26} {:8.2f} %  [{:.2f}, {:.2f}]  ({} rows)\n", printable(part.subset), 100 * value,
                          100 * interval.low, 100 * interval.high, part.rows);
    }
  }

  std::string text;
};

void add_evaluation(Lines& lines, const EvaluationMetrics& metrics, const std::optional<SeedMetrics>& seeds) {
  if (metrics.held_out) {
    lines.text += fmt::format("held-out rows: {} ({})\n", metrics.rows, *metrics.held_out);
  }
  lines.text += few_prompts_text(metrics);
  if (metrics.pairs) lines.share("pair accuracy", metrics.pairs->accuracy);
  if (metrics.labelled) lines.share("accuracy", metrics.labelled->accuracy);
  if (metrics.logistic) lines.share("  logistic regression", metrics.logistic->accuracy);
  lines.share("  longer answer wins", metrics.length.longer_accuracy);
  if (metrics.labelled) lines.share("  more frequent label", metrics.labelled->majority_accuracy);
  if (metrics.logistic) lines.number("  p, head against logistic", metrics.logistic->p_value);
  if (metrics.labelled) {
    lines.share("balanced accuracy", metrics.labelled->balanced_accuracy);
    lines.share("area under the ROC curve", metrics.labelled->area);
  }
  if (seeds) {
    lines.text +=
        fmt::format("  {:<28} {:8.2f} %  (standard deviation {:.2f}; {} seeds)\n", "  mean over seeds",
                    100 * seeds->accuracy.mean, 100 * seeds->accuracy.deviation, seeds->accuracy.values.size());
  }
  if (metrics.pairs) {
    lines.estimate("reward margin (raw)", metrics.pairs->margin);
    lines.estimate("reward margin (0..1)", metrics.pairs->probability);
  }
  lines.number("score-length correlation", metrics.length.correlation);
  lines.share("accuracy at equal lengths", metrics.length.controlled_accuracy);
  lines.share("calibration error", metrics.calibration.expected_error);
  lines.share("  after temperature scaling", metrics.calibration.expected_error_scaled);
  if (metrics.subsets) {
    lines.subsets("by subset", metrics.subsets->named);
    lines.subsets("RewardBench (overall: its four sections)", metrics.subsets->reward_bench);
  }
}

}  // namespace

std::string summary(const EvaluationMetrics& metrics) {
  Lines lines;
  add_evaluation(lines, metrics, std::nullopt);
  return std::move(lines.text);
}

std::string summary(const RunMetrics& metrics) {
  Lines lines;
  add_evaluation(lines, metrics.evaluation, metrics.seeds);
  if (metrics.token_head) {
    lines.text +=
        fmt::format("  {:<28} {:8.2f} %  (without context {:.2f} %)\n", "token head, accuracy",
                    100 * metrics.token_head->accuracy.value, 100 * metrics.token_head->context_free.accuracy.value);
  }
  const SolverMetrics& solver = metrics.solver;
  lines.text += fmt::format("  {:<28} {} ({} neurons, {} loss), {}", "Phase I", name_of(solver.selected),
                            solver.neurons, loss_name(solver.loss), status_name(solver.status));
  if (solver.relative_gap) lines.text += fmt::format(", duality gap {:.1e}", *solver.relative_gap);
  lines.text += fmt::format(", {:.1f} s\n", solver.seconds);
  return std::move(lines.text);
}

}  // namespace coala
