#pragma once

#include <optional>

#include "head/held_out.h"
#include "head/selection_cost.h"
#include "head/training_rows.h"
#include "solver/moment_spectrum.h"

namespace coala {

/// Rows that a selection looks at first, where there are more than half as many again.
inline constexpr std::size_t kFirstRows = 4096;
/// Rows that gates are refined by, where there are more than twice as many.
inline constexpr std::size_t kRefiningRows = 16384;

/// What a selection looks at where there are many rows or many columns, since it needs many fits and none of them
/// exactly: some of the rows, in the coordinates of the leading directions of their second moments. A row keeps its
/// fold. Coordinates are kept in F16.
struct Look {
  std::optional<MomentSpectrum> spectrum;  ///< of the gated program's moments, r directions [r, d]; none: all columns
  TrainingRows rows;                       ///< [m, r] or [m, d]
  double share;                            ///< of the weight of all rows

  bool has_all_rows() const { return share == 1; }
  /// Weights or gates [P, r] of the coordinates as those of the columns [P, d]: the same products with every row, but
  /// for what the row has beyond the leading directions.
  Matrix<float> lift(const Matrix<float>& w) const;
  /// The same for those of all folds. A penalty becomes the one that is likely as good for all rows: of the ridge the
  /// same for the sum of their losses (a prior does not depend on how much is seen), of group norms one that grows with
  /// the root of their number, as the noise in a group's gradient does.
  HeldOut lift(const HeldOut& held_out) const;
  /// Moments of these rows as those of all rows and columns. In coordinates only their leading `rank` directions are
  /// kept.
  MomentSpectrum lift(const MomentSpectrum& inside, std::size_t rank) const;
  /// A candidate of all rows with the penalty that lift() would make that one.
  HeldOut narrow(const HeldOut& of_all) const;
};

/// None when there are so few rows and columns that nothing would be saved, and for rows that are not finite or zero.
/// @param transform  that of `rows`
std::optional<Look> first_look(const FeatureSet& set, const FeatureTransform& transform, const TrainingRows& rows,
                               int folds, std::uint64_t seed, ThreadPool& pool, SelectionCost& cost);

/// kRefiningRows of the rows with all of their columns; none when there are not twice as many.
std::optional<Look> refining_look(const FeatureSet& set, const FeatureTransform& transform, const TrainingRows& rows,
                                  int folds, std::uint64_t seed, ThreadPool& pool);

}  // namespace coala
