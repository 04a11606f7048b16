#include "coala/evaluate.h"

#include <nlohmann/json.hpp>

#include "api/estimates.h"
#include "api/state.h"
#include "core/metric_json.h"
#include "eval/metrics.h"

namespace coala::v1 {

std::optional<Estimate> estimate_of(const coala::Estimate& figure) {
  if (!figure.ci95.is_known()) return std::nullopt;
  return Estimate{figure.value, figure.ci95.low, figure.ci95.high};
}

Evaluation evaluate(const Head& head, const Features& features, std::uint64_t seed) {
  Scores scores = score(head, features);
  const FeatureSet& set = features.state().set;
  const EvaluationMetrics metrics = evaluation_metrics(
      set, {std::move(scores.chosen), std::move(scores.rejected), std::move(scores.single)}, {}, seed);
  Evaluation evaluation;
  evaluation.rows = set.rows();
  evaluation.ties = metrics.ties;
  evaluation.accuracy = estimate_of(metrics.accuracy()).value();
  evaluation.loss = estimate_of(metrics.loss).value();
  if (metrics.pairs) evaluation.margin = estimate_of(metrics.pairs->margin);
  if (metrics.length.longer_accuracy) evaluation.longer = estimate_of(*metrics.length.longer_accuracy);
  if (metrics.labelled && metrics.labelled->area) evaluation.area = estimate_of(*metrics.labelled->area);
  evaluation.json = metrics_json(metrics).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return evaluation;
}

}  // namespace coala::v1
