#include "coala/fit.h"

#include "api/fit_settings.h"
#include "api/state.h"
#include "head/fit.h"

namespace coala::v1 {

coala::FitSettings internal_settings(const FitSettings& settings) {
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
  result.length_control = settings.length_control;
  result.as_relu = settings.as_relu;
  check_settings(result, "FitSettings::");
  return result;
}

Fit fit(const Features& features, const FitSettings& settings, const Context& context) {
  return fit(features, internal_settings(settings), context);
}

Fit fit(const Features& features, coala::FitSettings settings, const Context& context) {
  settings.phase_two.seed = settings.seed;
  const CallScope scope(context);
  const FeatureSet& set = features.state().set;
  ThreadPool pool(context.threads);
  const FitResult result = fit_head(set, settings, pool);
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
