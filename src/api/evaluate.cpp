#include "coala/evaluate.h"

#include <nlohmann/json.hpp>

#include "api/estimates.h"
#include "api/state.h"
#include "coala/error.h"
#include "eval/metrics.h"

namespace coala::v1 {
using Json = nlohmann::ordered_json;

std::optional<Estimate> estimate_of(const Json& metrics, const std::string& name) {
  if (!metrics.contains(name) || !metrics.contains(name + "_ci95")) return std::nullopt;
  const Json& interval = metrics.at(name + "_ci95");
  return Estimate{metrics.at(name).get<double>(), interval.at(0).get<double>(), interval.at(1).get<double>()};
}

Estimate accuracy_of(const Json& metrics) {
  std::optional<Estimate> accuracy = estimate_of(metrics, "eval_rewards/accuracies");
  if (!accuracy) accuracy = estimate_of(metrics, "eval_accuracy");
  if (!accuracy) throw Error(ErrorCode::Internal, "metrics without an accuracy");
  return *accuracy;
}

Evaluation evaluate(const Head& head, const Features& features, std::uint64_t seed) {
  Scores scores = score(head, features);
  const FeatureSet& set = features.state().set;
  const Json metrics = evaluation_metrics(
      set, {std::move(scores.chosen), std::move(scores.rejected), std::move(scores.single)}, {}, seed);
  Evaluation evaluation;
  evaluation.rows = set.rows();
  evaluation.ties = metrics.at("eval_ties").get<std::size_t>();
  evaluation.accuracy = accuracy_of(metrics);
  evaluation.loss = estimate_of(metrics, "eval_loss").value();
  evaluation.margin = estimate_of(metrics, "eval_rewards/margins");
  evaluation.longer = estimate_of(metrics, "baseline/length_accuracy");
  evaluation.area = estimate_of(metrics, "auc");
  evaluation.json = metrics.dump(2, ' ', false, Json::error_handler_t::replace);
  return evaluation;
}

}  // namespace coala::v1
