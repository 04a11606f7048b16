#include "coala/fit.h"

#include <fmt/format.h>

#include "api/fit_settings.h"
#include "api/state.h"
#include "coala/error.h"
#include "head/fit.h"

namespace coala::v1 {
namespace {

template <class Number>
void check_range(const char* name, Number value, Number low, Number high) {
  if (value >= low && value <= high) return;
  throw Error(ErrorCode::BadUsage, fmt::format("FitSettings::{} is {}; expected {} to {}", name, value, low, high));
}

}  // namespace

coala::FitSettings internal_settings(const FitSettings& settings) {
  check_range("gates", settings.gates, 0, 4096);
  check_range("path_length", settings.path_length, 1, 1000);
  check_range("folds", settings.folds, 2, 100);
  check_range("tolerance", settings.tolerance, 1e-7, 1.0);
  check_range("time_limit_s", settings.time_limit_s, 0.0, 1e9);
  coala::FitSettings result;
  result.model_class = settings.model_class;
  result.loss = settings.loss;
  result.gates = settings.gates;
  result.path_length = settings.path_length;
  result.folds = settings.folds;
  if (settings.one_standard_error) result.rule = SelectionRule::OneStandardError;
  result.tolerance = settings.tolerance;
  result.time_limit_s = settings.time_limit_s;
  result.seed = settings.seed;
  result.phase_two.seed = settings.seed;
  result.length_control = settings.length_control;
  result.as_relu = settings.as_relu;
  return result;
}

Fit fit(const Features& features, const FitSettings& settings, const Context& context) {
  const CallScope scope(context);
  const FeatureSet& set = features.state().set;
  ThreadPool pool(context.threads);
  const FitResult result = fit_head(set, internal_settings(settings), pool);
  Fit fit{head_of(make_head(result, set), "the head"), {}, {}};
  fit.status = result.phase_one.status;
  if (result.certificate) {
    fit.certificate = {result.certificate->objective, result.certificate->dual_objective,
                       result.certificate->relative_gap};
  }
  fit.iterations = result.phase_one.iterations;
  fit.seconds = result.selection_seconds + result.phase_one.seconds;
  fit.linear = result.chosen.linear;
  fit.penalty_ratio = result.chosen.penalty_ratio;
  fit.held_out_loss = result.chosen.held_out_loss;
  fit.held_out_accuracy = result.chosen.held_out_accuracy;
  return fit;
}

}  // namespace coala::v1
