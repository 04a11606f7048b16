#include "train/fit_metrics.h"

#include <algorithm>

namespace coala {
namespace {

/// All of a short curve, a hundred or so points of a long one, both ends included.
CurveMetrics curve_metrics(const PhaseTwoResult& result) {
  constexpr std::size_t kMostSteps = 100;
  CurveMetrics curve;
  const std::size_t last = result.objective_curve.size() - 1;
  const std::size_t steps = std::min(last, kMostSteps);
  for (std::size_t k = 0; k <= steps; ++k) {
    const std::size_t at = steps == 0 ? 0 : k * last / steps;
    curve.iteration.push_back(at);
    curve.loss.push_back(result.objective_curve[at]);
    curve.margin.push_back(result.margin_curve[at]);
  }
  return curve;
}

ModelClass class_of(const Candidate& candidate) {
  return candidate.linear ? ModelClass::Linear : ModelClass::Gated;
}

CandidateMetrics candidate_metrics(const Candidate& candidate, const Candidate& chosen) {
  CandidateMetrics metrics;
  metrics.model = class_of(candidate);
  metrics.penalty = candidate.penalty;
  metrics.penalty_ratio = candidate.penalty_ratio;
  metrics.linear_weight = candidate.linear_weight;
  metrics.held_out_loss = candidate.held_out_loss;
  metrics.held_out_error = candidate.held_out_error;
  metrics.held_out_accuracy = candidate.held_out_accuracy;
  metrics.active_groups = candidate.active_groups;
  metrics.gate_refinements = candidate.refinements;
  metrics.chosen = candidate.linear == chosen.linear && candidate.penalty == chosen.penalty &&
                   candidate.linear_weight == chosen.linear_weight && candidate.refinements == chosen.refinements;
  return metrics;
}

}  // namespace

SolverMetrics solver_metrics(const FitResult& fit) {
  const SolveInfo& info = fit.phase_one;
  const bool admm = fit.model_class == ModelClass::Cronos || fit.model_class == ModelClass::Relu;
  SolverMetrics metrics;
  metrics.model_class = fit.model_class;
  metrics.loss = fit.loss;
  metrics.selected = admm ? fit.model_class : class_of(fit.chosen);
  if (!fit.device.empty()) metrics.device = fit.device;
  metrics.status = info.status;
  metrics.selection_cut_short = fit.selection_cut_short;
  metrics.objective = info.objective;
  if (fit.certificate) {
    metrics.dual_objective = info.dual_objective;
    metrics.relative_gap = fit.certificate->relative_gap;
  }
  metrics.admm_iterations = admm ? info.iterations : 0;
  metrics.iterations = info.iterations;
  metrics.cg_iterations = info.cg_iterations;
  metrics.seconds = info.seconds + fit.selection_seconds;
  metrics.selection_seconds = fit.selection_seconds;
  metrics.passes_over_x = info.passes_over_x + fit.selection_passes;
  metrics.bytes_of_x = fit.bytes_of_x;
  metrics.neurons = fit.network.neurons();
  metrics.beta = fit.chosen.penalty;
  metrics.gate_refinements = fit.chosen.refinements;
  metrics.linear_weight = fit.chosen.linear_weight;
  metrics.length_control = fit.length_control;
  if (fit.length_control == LengthControl::Covariate) metrics.length_slope = fit.length_slope;
  for (const Candidate& candidate : fit.path) metrics.path.push_back(candidate_metrics(candidate, fit.chosen));
  return metrics;
}

PhaseTwoMetrics phase_two_metrics(const FitResult& fit) {
  const PhaseTwoResult& result = fit.phase_two;
  PhaseTwoMetrics metrics;
  metrics.objective_name = fit.phase_two_settings.objective;
  metrics.solver = fit.phase_two_settings.solver;
  metrics.status = result.status;
  metrics.iterations = result.iterations;
  metrics.objective_before = result.objective_before;
  metrics.objective = result.objective;
  metrics.gradient_norm = result.gradient_norm;
  metrics.seconds = result.seconds;
  metrics.curve = curve_metrics(result);
  return metrics;
}

ReluFormMetrics relu_form_metrics(const FitResult& fit) {
  const ReluForm& form = *fit.relu_form;
  return {fit.network.neurons(), form.gated_norm,         form.relu_norm,
          form.largest_score,    form.largest_difference, form.seconds};
}

}  // namespace coala
