#include "train/seeds.h"

#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "core/interrupt.h"
#include "core/progress.h"

namespace coala {
namespace {

FitSettings with_seed(FitSettings settings, std::uint64_t seed) {
  settings.seed = seed;
  settings.phase_two.seed = seed;
  return settings;
}

/// What the seeds decide of a run.
struct SeedResults {
  std::vector<std::uint64_t> seeds;
  std::vector<double> accuracy;
  std::vector<double> logistic;
  std::vector<double> difference;

  void add(const RunMetrics& metrics) {
    seeds.push_back(metrics.seed);
    accuracy.push_back(metrics.evaluation.accuracy().value);
    logistic.push_back(metrics.evaluation.logistic.value().accuracy.value);
    difference.push_back(accuracy.back() - logistic.back());
  }
};

/// Values with their mean and standard deviation (of n - 1).
SpreadMetrics spread(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (n - 1)), values};
}

}  // namespace

TrainingRun train_over_seeds(const FeatureSet& train, const EvaluationPlan& plan, const FitSettings& settings,
                             int count, ThreadPool& pool, Backend* backend) {
  TrainingRun first = train_and_evaluate(train, plan, settings, pool, backend);
  if (count < 2) return first;
  SeedResults results;
  results.add(first.metrics);
  EvaluationPlan rest = plan;
  rest.token_head = false;
  double seconds = 0;
  for (int k = 1; k < count; ++k) {
    throw_if_interrupted();
    log_line(fmt::format("seed {} of {}", k + 1, count));
    const ProgressPart part(fmt::format("seed {} of {}", k + 1, count));
    const FitSettings own = with_seed(settings, settings.seed + static_cast<std::uint64_t>(k));
    const TrainingRun run = train_and_evaluate(train, rest, own, pool, backend);
    results.add(run.metrics);
    seconds += run.metrics.seconds;
  }
  first.metrics.seeds = {results.seeds, spread(results.accuracy), spread(results.logistic), spread(results.difference),
                         seconds};
  first.metrics.seconds += seconds;
  return first;
}

}  // namespace coala
