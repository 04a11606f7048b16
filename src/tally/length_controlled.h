#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/estimate.h"
#include "core/matrix.h"

namespace coala {

/// The rows of AlpacaEval 2's two gamed baselines, which hold the coefficient of the length.
struct GamedBaseline {
  std::vector<double> tanh_length;  ///< [n]
  std::vector<double> difficulty;   ///< [n]
  std::vector<double> preference;   ///< [n], 0 to 1
};

/// The same when only the sums of preference times feature are known, which is all that a fit needs: preferences that
/// have these sums. Which of them does not matter to the fit, and little to the folds.
/// @param length_sum, difficulty_sum  over the rows, unweighted
void set_preferences(GamedBaseline& gamed, double length_sum, double difficulty_sum);

/// A model's rows against the baseline's.
struct LengthControlInput {
  std::vector<double> preference;     ///< [n], 0 to 1; NaN where the judge said nothing
  std::vector<double> model_length;   ///< [n], characters
  std::vector<double> base_length;    ///< [n]
  std::vector<double> difficulty;     ///< [n], of the instructions; empty: the model goes without
  GamedBaseline gamed;                ///< empty: the model goes without
  std::vector<std::int64_t> prompts;  ///< [n], the same number for the same prompt
};

/// AlpacaEval 2's length-controlled win rate (Dubois et al. 2024, arXiv 2404.04475).
struct LengthControlledRate {
  /// Published name: length_controlled_v1, _noreg (no gamed rows), _minimal (no difficulties either); or "baseline",
  /// whose replies are compared with themselves.
  std::string_view variant;
  double rate = 0;  ///< predicted preference at equal lengths, mean over the rows
  /// As published: of the mean of the predictions, the coefficients taken for known. NaN without difficulties: the
  /// predictions are then all the same number.
  double standard_error = 0;
  Interval clustered95;           ///< prompts drawn anew, coefficients fitted again; none for a single prompt
  double length_coefficient = 0;  ///< of tanh((base length - model length) / sd)
  double difficulty_coefficient = 0;
  double model_coefficient = 0;
  double penalty_c = 0;  ///< that the folds have chosen
};

/// Why there is no such rate of these rows; "" when there is one.
std::string why_no_length_control(const LengthControlInput& input);

/// @throws Error{BadInput} when there is none
LengthControlledRate length_controlled_rate(const LengthControlInput& input, std::uint64_t seed);

}  // namespace coala
