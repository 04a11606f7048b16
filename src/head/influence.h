#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "core/parallel.h"
#include "features/feature_set.h"
#include "head/head.h"
#include "head/training_rows.h"

namespace coala {

/// How much each training row has to do with what a head says: its score less the one that it would give had the row
/// not been there (docs/math.md, Influence). Phase I is a convex program whose curvature is at hand, so the weights
/// without a row are one Newton step from those with it, in which the row's own curvature is left out exactly: for the
/// squared loss and a ridge they are the solution, for others they are close to it. Gates, penalty, the second layer
/// and the level of the scores are kept.
class Influence {
 public:
  /// Factors the curvature of the program at the head's weights: about 2 n p^2 + p^3 operations, p = m d.
  /// @param head        outlives this
  /// @param trained_on  the rows that the head was trained on
  /// @throws Error{BadUsage} for a head that is not of the gated or the linear class, or of too many weights;
  ///         Error{Mismatch} when its weights do not solve the program of these rows
  Influence(const Head& head, const FeatureSet& trained_on, ThreadPool& pool);

  std::size_t rows() const { return derivative_.size(); }
  /// The rows' parts in the score of features [d]: [n], in log-odds. They do not add up to the score.
  std::vector<double> on_score(std::span<const float> features) const;

 private:
  /// x [d] as the program has it: once for each neuron whose gate it opens, times `factor`; added to a [p].
  void add_opened(std::span<const float> x, double factor, std::span<double> a) const;
  /// Rows [begin, end) of the program, [end - begin, p].
  Matrix<double> block(std::size_t begin, std::size_t end) const;
  void for_blocks(const std::function<void(std::size_t begin, const Matrix<double>& rows)>& body) const;

  const Head* head_;
  ThreadPool* pool_;
  TrainingRows rows_;
  std::size_t size_;                ///< p: the neurons' weights and, where the program has a free bias, that
  std::vector<double> derivative_;  ///< of each row's loss at the solution, [n]
  std::vector<double> curvature_;   ///< [n]
  std::vector<double> leverage_;    ///< a_i' H^-1 a_i, [n]
  Matrix<double> inverse_;          ///< H^-1 [p, p]
};

}  // namespace coala
