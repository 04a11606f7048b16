#include "report/values.h"

#include <fmt/format.h>

namespace coala {

bool has_pairs(const Json& metrics) {
  return metrics.contains("eval_rewards/accuracies");
}

const char* accuracy_key(const Json& metrics) {
  return has_pairs(metrics) ? "eval_rewards/accuracies" : "eval_accuracy";
}

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string interval_text(const Json& metrics, const std::string& key, double factor) {
  const auto bounds = metrics.find(key + "_ci95");
  if (bounds == metrics.end()) return "";
  const int decimals = factor == 100 ? 1 : 2;
  return fmt::format("{:.{}f} to {:.{}f}", factor * bounds->at(0).get<double>(), decimals,
                     factor * bounds->at(1).get<double>(), decimals);
}

}  // namespace coala
