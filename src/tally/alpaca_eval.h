#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tally/annotations.h"
#include "tally/length_controlled.h"
#include "tally/win_rates.h"

namespace coala {

/// What AlpacaEval 2 publishes beside the annotations, as far as it is there.
struct AlpacaEvalBackground {
  std::map<std::string, double> difficulty;  ///< by instruction, where the file has texts
  std::vector<double> difficulty_by_row;     ///< by its number in the benchmark
  GamedBaseline gamed;

  bool has_difficulties() const { return !difficulty_by_row.empty(); }
};

/// @param difficulties    CSV with instruction_difficulty and, if possible, instruction; rows as in the benchmark
/// @param gamed           CSV with instruction_difficulty, tanh_std_delta_len or std_delta_len, and, if there is one,
///                        preference (0 to 1)
/// @param gamed_sums      JSON with S_tanh_std_delta_len and S_instruction_difficulty, for a CSV without preference
/// @throws Error{BadInput, BadUsage}
AlpacaEvalBackground read_background(const std::filesystem::path& difficulties, const std::filesystem::path& gamed,
                                     const std::filesystem::path& gamed_sums);

struct AlpacaEvalScore {
  std::string model;
  WinRates wins;
  std::optional<LengthControlledRate> controlled;  ///< nothing where it cannot be told
  std::string why_not_controlled;
  double mean_length = 0;  ///< characters; 0 where they have none
  std::size_t rows = 0, without_preference = 0;
};

/// AlpacaEval's annotations, model by model in the order of the files: columns instruction, preference (1 to 2, 0
/// or 1.5 for a tie, null for none) and output_1, output_2 or len_baseline, len_model.
/// @throws Error{BadInput} naming the place
std::vector<AlpacaEvalScore> alpaca_eval_scores(std::span<const Annotation> annotations,
                                                const AlpacaEvalBackground& background, std::uint64_t seed);

}  // namespace coala
