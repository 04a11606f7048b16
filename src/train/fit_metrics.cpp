#include "train/fit_metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// Loss and margin along Phase II: all of a short curve, a hundred or so points of a long one, both ends included.
Json phase_two_curve(const PhaseTwoResult& result) {
  constexpr std::size_t kMostSteps = 100;
  Json curve = {{"iteration", Json::array()}, {"loss", Json::array()}, {"margin", Json::array()}};
  const std::size_t last = result.objective_curve.size() - 1;
  const std::size_t steps = std::min(last, kMostSteps);
  for (std::size_t k = 0; k <= steps; ++k) {
    const std::size_t at = steps == 0 ? 0 : k * last / steps;
    curve["iteration"].push_back(at);
    curve["loss"].push_back(result.objective_curve[at]);
    curve["margin"].push_back(result.margin_curve[at]);
  }
  return curve;
}

}  // namespace

Json solver_metrics(const FitResult& fit) {
  const SolveInfo& info = fit.phase_one;
  Json json;
  json["model_class"] = name_of(fit.model_class);
  json["loss"] = loss_name(fit.loss);
  json["selected"] = fit.model_class == ModelClass::Cronos ? "cronos"
                     : fit.model_class == ModelClass::Relu ? "relu"
                     : fit.chosen.linear                   ? "linear"
                                                           : "gated";
  if (!fit.device.empty()) json["device"] = fit.device;
  json["status"] = status_name(info.status);
  json["selection_cut_short"] = fit.selection_cut_short;
  json["objective"] = info.objective;
  if (fit.certificate) {
    json["dual_objective"] = info.dual_objective;
    json["relative_gap"] = fit.certificate->relative_gap;
  }
  const bool admm = fit.model_class == ModelClass::Cronos || fit.model_class == ModelClass::Relu;
  json["admm_iterations"] = admm ? info.iterations : 0;
  json["iterations"] = info.iterations;
  json["cg_iterations"] = info.cg_iterations;
  json["seconds"] = info.seconds + fit.selection_seconds;
  json["selection_seconds"] = fit.selection_seconds;
  json["passes_over_x"] = info.passes_over_x + fit.selection_passes;
  json["bytes_of_x"] = fit.bytes_of_x;
  json["neurons"] = fit.network.neurons();
  json["beta"] = fit.chosen.penalty;
  json["gate_refinements"] = fit.chosen.refinements;
  json["linear_weight"] = fit.chosen.linear_weight;
  json["length_control"] = name_of(fit.length_control);
  if (fit.length_control == LengthControl::Covariate) json["length_slope"] = fit.length_slope;
  Json path = Json::array();
  for (const Candidate& candidate : fit.path) {
    const bool chosen = candidate.linear == fit.chosen.linear && candidate.penalty == fit.chosen.penalty &&
                        candidate.linear_weight == fit.chosen.linear_weight &&
                        candidate.refinements == fit.chosen.refinements;
    path.push_back({{"model", candidate.linear ? "linear" : "gated"},
                    {"penalty", candidate.penalty},
                    {"penalty_ratio", candidate.penalty_ratio},
                    {"linear_weight", candidate.linear_weight},
                    {"held_out_loss", candidate.held_out_loss},
                    {"held_out_error", candidate.held_out_error},
                    {"held_out_accuracy", candidate.held_out_accuracy},
                    {"active_groups", candidate.active_groups},
                    {"gate_refinements", candidate.refinements},
                    {"chosen", chosen}});
  }
  json["path"] = std::move(path);
  return json;
}

Json phase_two_metrics(const FitResult& fit) {
  const PhaseTwoResult& result = fit.phase_two;
  Json json;
  json["objective_name"] = name_of(fit.phase_two_settings.objective);
  json["solver"] = name_of(fit.phase_two_settings.solver);
  json["status"] = status_name(result.status);
  json["iterations"] = result.iterations;
  json["objective_before"] = result.objective_before;
  json["objective"] = result.objective;
  json["gradient_norm"] = result.gradient_norm;
  json["seconds"] = result.seconds;
  json["curve"] = phase_two_curve(result);
  return json;
}

Json relu_form_metrics(const FitResult& fit) {
  const ReluForm& form = *fit.relu_form;
  return {{"neurons", fit.network.neurons()},
          {"gated_norm", form.gated_norm},
          {"relu_norm", form.relu_norm},
          {"largest_score", form.largest_score},
          {"largest_difference", form.largest_difference},
          {"seconds", form.seconds}};
}

}  // namespace coala
