#pragma once

#include <vector>

#include "features/feature_set.h"
#include "head/transform.h"
#include "solver/design_rows.h"
#include "solver/loss.h"

namespace coala {

/// Transformed features as the solvers want them: rows, targets and folds by prompt. Pairs become one row each for the
/// Bradley-Terry loss and two (chosen +1, rejected -1) for the pointwise losses.
class TrainingRows {
 public:
  TrainingRows(const FeatureSet& set, const FeatureTransform& transform, Loss loss, int folds, std::uint64_t seed);

  DesignRows<float> design() const;
  const Targets& targets() const { return targets_; }
  /// The targets with the rows of one fold left out (weight 0).
  Targets without_fold(int fold) const;
  const std::vector<int>& fold() const { return fold_; }  ///< [rows]
  std::size_t rows() const { return fold_.size(); }
  double total_weight() const;

  /// The rows outside `left_out` (-1: all) as one dense matrix with labels, for the programs of the paper. Pointwise
  /// losses only.
  struct Dense {
    Matrix<float> x;
    std::vector<float> y;
  };
  Dense dense_without(int left_out) const;

  const Matrix<float>& plus() const { return plus_; }    ///< chosen or single responses
  const Matrix<float>& minus() const { return minus_; }  ///< rejected
  bool from_pairs() const { return minus_.rows() > 0; }
  bool pairwise() const { return targets_.loss == Loss::BradleyTerry; }

 private:
  Matrix<float> plus_;
  Matrix<float> minus_;
  Targets targets_;
  std::vector<int> fold_;
};

}  // namespace coala
