#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coala/fit_choices.h"
#include "core/parallel.h"
#include "features/feature_set.h"
#include "head/network.h"
#include "head/phase_two.h"
#include "head/relu_form.h"
#include "head/transform.h"
#include "solver/certificate.h"
#include "solver/cronos.h"
#include "solver/gate_draws.h"
#include "solver/loss.h"
#include "solver/solve_info.h"

namespace coala {

std::string_view model_class_name(ModelClass model_class) noexcept;

/// Which candidate of a path is taken.
enum class SelectionRule {
  LowestLoss,        ///< the lowest held-out loss
  OneStandardError,  ///< the strongest penalty within one standard error of it (Breiman et al. 1984): simpler, as good
};

std::string_view length_control_name(LengthControl control) noexcept;

struct FitSettings {
  ModelClass model_class = ModelClass::Gated;
  std::optional<Loss> loss;  ///< default: Bradley-Terry for pairs, logistic for labelled rows
  int gates = 10;            ///< first gates P of the gated class, as many as the paper has: two tables of five
  GateSource gates_from = GateSource::Principal;  ///< where they are drawn first
  int path_length = 20;                           ///< penalties on the path, geometric from the largest useful one
  double path_end = 1e-3;                         ///< smallest penalty / beta_max
  SelectionRule rule = SelectionRule::LowestLoss;
  int folds = 5;            ///< selection and Phase II folds, by prompt
  double tolerance = 1e-4;  ///< relative duality gap of the final fit
  /// Wall clock of Phase I, 0 for none. It then takes the best it has: of the penalties that it got to, the best on
  /// held-out prompts; of the final fit, the point with the smallest gap. What comes out depends on the machine.
  double time_limit_s = 0;
  std::uint64_t seed = 0;
  CronosSettings cronos;         ///< its seed is replaced by the one above
  int cronos_gates = 10;         ///< of both classes of the paper
  double relu_beta_ratio = 0.1;  ///< penalty of the relu class / beta_max
  PhaseTwoSettings phase_two;
  LengthControl length_control = LengthControl::None;
  bool as_relu = false;  ///< turn the gated network into a ReLU network at the end (head/relu_form.h)
};

/// One candidate of the selection: a penalty and what it scored on held-out prompts.
struct Candidate {
  bool linear = false;
  double penalty = 0;         ///< lambda of the ridge, or beta of the group norms, for all training rows
  double penalty_ratio = 0;   ///< lambda / (sum of weights), or beta / beta_max
  double linear_weight = 1;   ///< factor of the linear group's penalty in the gated program
  double held_out_loss = 0;   ///< mean over rows
  double held_out_error = 0;  ///< its standard error, from the means of the folds
  double held_out_accuracy = 0;
  int active_groups = 0;  ///< mean over folds, rounded
  int refinements = 0;    ///< times that the gates were turned towards the weights
};

/// A trained head with everything that is known about how it came about.
struct FitResult {
  FeatureTransform transform;
  Network network;

  ModelClass model_class = ModelClass::Gated;
  Loss loss = Loss::Logistic;
  Candidate chosen;
  std::vector<Candidate> path;             ///< every candidate, linear ones first
  SolveInfo phase_one;                     ///< of the final fit; objective and bound are the certificate's
  std::optional<Certificate> certificate;  ///< recomputed in double; cronos has none
  bool selection_cut_short = false;        ///< the time limit left penalties out
  double selection_seconds = 0;
  double selection_flops = 0;
  std::uint64_t selection_passes = 0;
  std::uint64_t bytes_of_x = 0;  ///< features as the solver holds them
  PhaseTwoResult phase_two;
  PhaseTwoSettings phase_two_settings;
  LengthControl length_control = LengthControl::None;
  double length_slope = 0;            ///< of the length covariate, in log odds
  std::optional<ReluForm> relu_form;  ///< when the settings ask for it; then the network is that one
  double score_mean = 0;              ///< of held-out rows (out of fold), before centring
  double score_deviation = 0;

  /// Ridge logistic regression on the same rows, penalty selected on the same folds: the baseline of every run.
  FeatureTransform baseline_transform;
  Network baseline;
  double baseline_penalty_ratio = 0;
};

/// What can be said of a fit before there are features.
/// @param outline  the rows with features of any numbers, even a single zero
/// @throws what fit_head() throws for these rows, whatever their features
void check_fit(const FeatureSet& outline, const FitSettings& settings);

/// Trains a head: transform, Phase I with selection on held-out prompts, Phase II on out-of-fold activations.
/// @throws Error{BadInput} when the rows cannot be learnt from (one prompt only, one class only), Error{BadUsage} when
/// a setting is out of range
FitResult fit_head(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool);

}  // namespace coala
