#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "coala/fit_choices.h"
#include "core/parallel.h"
#include "core/setting.h"
#include "features/feature_set.h"
#include "head/network.h"
#include "head/phase_two.h"
#include "head/relu_form.h"
#include "head/transform.h"
#include "linalg/backend.h"
#include "solver/certificate.h"
#include "solver/cronos.h"
#include "solver/gate_draws.h"
#include "solver/loss.h"
#include "solver/solve_info.h"

namespace coala {

inline constexpr std::array kModelClasses{Named{"gated", ModelClass::Gated}, Named{"linear", ModelClass::Linear},
                                          Named{"cronos", ModelClass::Cronos}, Named{"relu", ModelClass::Relu}};
constexpr const auto& names_of(ModelClass) {
  return kModelClasses;
}

inline auto names_of(Loss) {
  std::array<Named<Loss>, kLosses.size()> names{};
  std::ranges::transform(kLosses, names.begin(), [](Loss loss) { return Named{loss_name(loss), loss}; });
  return names;
}

/// Which candidate of a path is taken.
enum class SelectionRule {
  LowestLoss,        ///< the lowest held-out loss
  OneStandardError,  ///< the strongest penalty within one standard error of it (Breiman et al. 1984): simpler, as good
};

inline constexpr std::array kSelectionRules{Named{"lowest-loss", SelectionRule::LowestLoss},
                                            Named{"one-standard-error", SelectionRule::OneStandardError}};
constexpr const auto& names_of(SelectionRule) {
  return kSelectionRules;
}

inline constexpr std::array kLengthControls{Named{"none", LengthControl::None},
                                            Named{"covariate", LengthControl::Covariate},
                                            Named{"weights", LengthControl::Weights}};
constexpr const auto& names_of(LengthControl) {
  return kLengthControls;
}

struct FitSettings {
  ModelClass model_class = ModelClass::Gated;
  std::optional<Loss> loss;
  int gates = 10;  ///< as many as the paper has: two tables of five
  GateSource gates_from = GateSource::Principal;
  int path_length = 20;    ///< geometric from the largest useful penalty
  double path_end = 1e-3;  ///< smallest penalty / beta_max
  SelectionRule rule = SelectionRule::LowestLoss;
  int folds = 5;
  double tolerance = 1e-4;
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

  /// What each is and may be, in the order of metrics.json and of the command line.
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "model_class", .about = "Phase I program"}, self.model_class);
    add(Setting{.name = "loss", .about = "Phase I loss", .absent = "bt for pairs, logistic for labelled rows"},
        self.loss);
    add(Setting{.name = "gates", .about = "gates of the gated class: drawn, then refined", .range = {0, 4096}},
        self.gates);
    add(Setting{.name = "gates_from", .about = "where the first gates of the gated class are drawn"}, self.gates_from);
    add(Setting{.name = "path_length", .about = "penalties on the regularisation path", .range = {1, 1000}},
        self.path_length);
    add(Setting{.name = "path_end",
                .about = "the smallest penalty of the path as a share of the largest",
                .range = {.least = 0, .most = 1, .above = true},
                .has_option = false},
        self.path_end);
    add(Setting{.name = "folds",
                .about = "folds by prompt for selection and Phase II",
                .range = {2, 100},
                .key = "selection_folds"},
        self.folds);
    add(Setting{.name = "rule", .about = "which candidate of a path is taken", .key = "selection_rule"}, self.rule);
    add(Setting{.name = "tolerance", .about = "relative duality gap of the final fit", .range = {1e-7, 1}},
        self.tolerance);
    add(Setting{.name = "time_limit_s",
                .about = "seconds of the fit, after which it takes the best it has; 0 for none. The token head, and "
                         "each fold of an evaluation by cross-validation, have their own",
                .range = {.least = 0},
                .key = "time_limit"},
        self.time_limit_s);
    add(Setting{.name = "seed", .about = "of everything random", .has_option = false},
        self.seed);  // every command has one
    add(SettingGroup{"cronos"}, self.cronos);
    add(Setting{.name = "cronos_gates",
                .about = "gates of the cronos and relu classes",
                .range = {1, 4096},
                .key = "gates",
                .group = "cronos"},
        self.cronos_gates);
    add(Setting{.name = "length_control",
                .about = "what is done about lengths that predict the preferences: the length difference as a "
                         "covariate in training that is dropped when scoring, or length-balanced weights"},
        self.length_control);
    add(Setting{.name = "as_relu",
                .about = "write the gated head as a ReLU network that gives the training rows the same scores (cone "
                         "decomposition); elsewhere the scores differ"},
        self.as_relu);
    add(Setting{.name = "relu_beta_ratio",
                .about = "penalty of the relu class as a share of the largest one",
                .range = {1e-4, 1},
                .option = "relu-beta"},
        self.relu_beta_ratio);
    add(SettingGroup{"phase2"}, self.phase_two);
  }
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
  std::string device;                      ///< that computed the gated program, selection included; "": the CPU
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
/// @param backend  of the gated program; null: the CPU. Everything else is computed on the CPU, certificates included
/// @throws Error{BadInput} when the rows cannot be learnt from (one prompt only, one class only), Error{BadUsage} when
/// a setting is out of range
FitResult fit_head(const FeatureSet& set, const FitSettings& settings, ThreadPool& pool, Backend* backend = nullptr);

}  // namespace coala
