#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// A mark of MT-Bench.
struct Mark {
  std::string model;
  std::string question;
  int turn = 1;
  double score = 0;  ///< 1 to 10; -1: the judge's answer could not be read
};

struct MarkScore {
  std::string model;
  std::vector<std::optional<double>> turns;  ///< mean of each turn's marks, from turn 1 on
  Estimate overall;                          ///< mean of all marks (not of the turns' means), clustered by question
  std::size_t marks = 0, dropped = 0;        ///< dropped: those of -1
};

/// @return  best first; models without a mark are left out
std::vector<MarkScore> mark_scores(std::span<const Mark> marks, std::uint64_t seed);

/// A pair of MT-Bench, judged in both orders.
struct MarkedPair {
  std::array<std::string, 2> models;
  std::string question;
  std::array<std::string, 2> winners;  ///< of the two games: "model_1", "model_2", "tie", "error"
};

struct PairScore {
  std::string model;
  std::size_t wins = 0, losses = 0, ties = 0;
  double win_rate = 0, loss_rate = 0;  ///< of all comparisons
  Estimate adjusted;                   ///< a tie counts half; clustered by question
};

/// A game that is lost in the other order is a tie; a pair with an error in either game is left out.
/// @param baseline  its own line and the others' pairs without it are left out; empty: all pairs
/// @throws Error{BadInput} when the baseline is in no pair, or no pair was judged in both orders
std::vector<PairScore> pair_scores(std::span<const MarkedPair> pairs, const std::string& baseline);

}  // namespace coala
