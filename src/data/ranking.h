#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/counts.h"
#include "data/record.h"
#include "data/row.h"

namespace coala {

/// Which pairs a ranking of several responses gives.
enum class Rankings {
  All,   ///< each two with different places
  Best,  ///< the best one against each of the others
};

/// A response among several to one prompt.
struct Ranked {
  std::string text;
  double quality = 0;  ///< higher is better
};

inline constexpr std::size_t kMostRanked = 64;  ///< responses of one record; bounds the pairs

/// The pairs of a ranking; equal places are counted as ties.
/// @param graded  the qualities are grades, so their difference is the margin
std::vector<Pair> pairs_of_ranking(const Row& row, const Prompt& prompt, const std::vector<Ranked>& ranked, bool graded,
                                   Rankings rankings, ReaderCounts& counts);

/// Whether a record holds several responses with grades, votes or ranks.
bool is_ranking(const Row& row);
/// The pairs of Shape::Ranking: `generations` and `ratings` (distilabel), `answers` with `rank` (Nectar) or `pm_score`
/// (Stack Exchange), `completions` with `overall_score` (UltraFeedback) or `rank` (NeMo).
std::vector<Pair> read_ranking(const Row& row, Rankings rankings, ReaderCounts& counts);

}  // namespace coala
