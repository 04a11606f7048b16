#include "head/length_control.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "features/length_difference.h"
#include "head/head.h"

namespace coala {
namespace {

void check(const FeatureSet& set, const FitSettings& settings) {
  if (set.kind != FeatureKind::Pairs || set.length_chosen.empty() || set.length_rejected.empty()) {
    throw Error(ErrorCode::BadUsage, set.path + ": length control needs pairs with their lengths, and there are none",
                "extract the features with `coala extract`, or leave --length-control out");
  }
  if (settings.length_control != LengthControl::Covariate) return;
  const bool has_offsets = settings.model_class == ModelClass::Gated || settings.model_class == ModelClass::Linear;
  if (!has_offsets || settings.loss.value_or(Loss::BradleyTerry) != Loss::BradleyTerry ||
      settings.phase_two.objective != PhaseTwoObjective::Preference) {
    throw Error(ErrorCode::BadUsage, "a length covariate needs losses of pairs that know a margin",
                "use --model-class gated or linear with --loss bt and --phase2-objective preference, or "
                "--length-control weights");
  }
}

/// The slope of the covariate for given scores: Newton on one number, with a ridge of 1 that keeps it finite.
double fit_slope(const FeatureSet& set, const std::vector<double>& x, const std::vector<double>& margins) {
  double slope = 0;
  constexpr int kMostSteps = 50;
  for (int step = 0; step < kMostSteps; ++step) {
    double gradient = slope;
    double curvature = 1;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double weight = set.weight.empty() ? 1.0 : static_cast<double>(set.weight[i]);
      const double stated = set.margin.empty() ? 0.0 : static_cast<double>(set.margin[i]);
      const double wrong = sigmoid(-(margins[i] - stated + slope * x[i]));
      gradient -= weight * wrong * x[i];
      curvature += weight * wrong * (1 - wrong) * x[i] * x[i];
    }
    const double change = std::clamp(gradient / curvature, -1.0, 1.0);
    slope -= change;
    if (std::abs(change) < 1e-9) break;
  }
  return slope;
}

/// Stated margins less the covariate's share: z - margin becomes z + slope * x in every loss.
FeatureSet with_offsets(const FeatureSet& set, const std::vector<double>& x, double slope) {
  FeatureSet result = set;
  result.margin.resize(x.size(), 0.0f);
  for (std::size_t i = 0; i < x.size(); ++i) result.margin[i] -= static_cast<float>(slope * x[i]);
  return result;
}

/// Scores and slope of the linear model are fitted in turn, from the slope of the length alone: what both explain goes
/// to the length.
LengthControlledSet with_covariate(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool) {
  const std::vector<double> x = bounded_length_difference(set);
  FitSettings linear = settings;
  linear.model_class = ModelClass::Linear;
  linear.length_control = LengthControl::None;
  linear.as_relu = false;
  double slope = fit_slope(set, x, std::vector<double>(x.size(), 0.0));
  constexpr int kRounds = 3;
  for (int round = 0; round < kRounds; ++round) {
    const FitResult fit = fit_head(with_offsets(set, x, slope), linear, pool);
    const Head head{fit.transform, fit.network, {}};
    std::vector<double> margins(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      margins[i] = head.score(set.chosen.row(i)) - head.score(set.rejected.row(i));
    }
    slope = fit_slope(set, x, margins);
  }
  return {with_offsets(set, x, slope), slope};
}

/// In each tenth of the pairs by |x| those whose longer answer was chosen weigh as much, in sum, as the others: the
/// length then predicts nothing. A side that is nearly absent would rest on a few rows: a row counts ten times at most.
LengthControlledSet with_weights(const FeatureSet& set) {
  constexpr std::size_t kParts = 10;
  constexpr double kMostWeight = 10;
  const std::vector<double> x = bounded_length_difference(set);
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&x](std::size_t a, std::size_t b) { return std::abs(x[a]) < std::abs(x[b]); });
  LengthControlledSet result{set, 0};
  result.set.weight.resize(x.size(), 1.0f);
  for (std::size_t part = 0; part < kParts; ++part) {
    const std::size_t begin = part * order.size() / kParts;
    const std::size_t end = (part + 1) * order.size() / kParts;
    double longer = 0;
    double shorter = 0;
    for (std::size_t k = begin; k < end; ++k) {
      const double weight = static_cast<double>(result.set.weight[order[k]]);
      longer += x[order[k]] > 0 ? weight : 0;
      shorter += x[order[k]] < 0 ? weight : 0;
    }
    if (longer == 0 || shorter == 0) continue;
    for (std::size_t k = begin; k < end; ++k) {
      const std::size_t i = order[k];
      if (x[i] == 0) continue;
      const double factor = (longer + shorter) / (2 * (x[i] > 0 ? longer : shorter));
      result.set.weight[i] *= static_cast<float>(std::min(factor, kMostWeight));
    }
  }
  return result;
}

}  // namespace

LengthControlledSet length_controlled(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool) {
  check(set, settings);
  return settings.length_control == LengthControl::Covariate ? with_covariate(set, settings, pool) : with_weights(set);
}

}  // namespace coala
