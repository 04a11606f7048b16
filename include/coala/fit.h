#pragma once

#include <cstdint>
#include <optional>

#include "coala/api.h"
#include "coala/context.h"
#include "coala/features.h"
#include "coala/fit_choices.h"
#include "coala/head.h"

namespace coala::v1 {

/// What decides a head beside its rows.
struct FitSettings {
  ModelClass model_class = ModelClass::Gated;
  std::optional<Loss> loss = {};    ///< absent: Bradley-Terry for pairs, logistic for labelled rows
  int gates = 10;                   ///< of the gated class, 0 to 4096
  int path_length = 20;             ///< penalties that are tried, 1 to 1000
  int folds = 5;                    ///< by prompt, for selection and Phase II, 2 to 100
  bool one_standard_error = false;  ///< the strongest penalty within a standard error of the best, not the best
  double tolerance = 1e-4;          ///< relative duality gap of the final fit, 1e-7 to 1
  double time_limit_s = 0;          ///< wall clock of Phase I, 0: none. What comes out then depends on the machine
  std::uint64_t seed = 0;           ///< of everything random
  LengthControl length_control = LengthControl::None;  ///< needs lengths
  bool as_relu = false;                                ///< write the gated network as a ReLU network
};

/// How good a solution is, recomputed in double from the data alone.
struct Certificate {
  double objective = 0;     ///< of the program at the solution
  double bound = 0;         ///< below which no solution can get
  double relative_gap = 0;  ///< (objective - bound) / max(|objective|, |bound|)
};

/// A trained head, and how it came about.
struct Fit {
  Head head;
  SolveStatus status = SolveStatus::Solved;     ///< of the final fit
  std::optional<Certificate> certificate = {};  ///< Cronos has none
  std::int64_t iterations = 0;                  ///< of the final fit
  double seconds = 0;                           ///< wall clock of selection and final fit
  bool linear = false;                          ///< a model without gates was chosen
  double penalty_ratio = 0;                     ///< of the chosen penalty to the largest useful one
  double held_out_loss = 0;                     ///< of the chosen candidate, mean over rows while they were held out
  double held_out_accuracy = 0;                 ///< the same; chosen on these rows, so evaluate() on others says more
};

/// Trains a head. The same features, settings, version and kernels give the same head.
/// @throws Error{BadUsage} for a setting out of range, Error{BadInput} for rows that cannot be learnt from (one prompt,
///   one class), Error{Interrupted}
COALA_API Fit fit(const Features& features, const FitSettings& settings = {}, const Context& context = {});

}  // namespace coala::v1
