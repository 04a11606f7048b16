#pragma once

#include <optional>

#include "head/selection.h"
#include "head/training_rows.h"
#include "solver/moment_spectrum.h"

namespace coala {

/// The rows of many columns in the coordinates of the leading directions of their second moments: what a selection
/// looks at first, since it needs many fits and none of them exactly. Folds and targets are those of the rows.
/// Coordinates are kept in F16, so they take 2 r / (bytes of a stored row) of the features' memory.
struct LeadingRows {
  MomentSpectrum spectrum;  ///< of the gated program's moments, r directions [r, d]
  TrainingRows rows;        ///< [n, r]

  /// Weights or gates [P, r] of the coordinates as those of the columns [P, d]: the same products with every row, but
  /// for what the row has beyond the leading directions.
  Matrix<float> lift(const Matrix<float>& w) const;
  HeldOut lift(const HeldOut& held_out) const;
  /// Moments in the coordinates as moments of the columns, of which only their leading `rank` directions are kept.
  MomentSpectrum lift(const MomentSpectrum& inside, std::size_t rank) const;
};

/// None when there are so few columns, or rows, that nothing would be saved, and for rows that are not finite or zero.
std::optional<LeadingRows> leading_rows(const FeatureSet& set, const TrainingRows& rows, int folds, std::uint64_t seed,
                                        ThreadPool& pool, SelectionCost& cost);

}  // namespace coala
