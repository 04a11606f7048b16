#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "core/matrix.h"
#include "head/fit.h"
#include "head/training_rows.h"
#include "solver/gated.h"

namespace coala {

/// The out-of-fold view of one penalty: what models that have not seen a row say about it.
struct HeldOut {
  Candidate candidate;
  std::vector<Matrix<float>> gates;    ///< one [P, d] per fold with rows
  std::vector<Matrix<float>> weights;  ///< the same
  std::vector<double> predictions;     ///< [rows], bias included; zero in folds that were not fitted
  std::vector<int> folds;              ///< that were fitted: what it was judged on
  double curvature = 0;                ///< that the gated program's steps have met, of the last fold
};

/// Folds after which a penalty that is behind its rival is given up.
inline constexpr std::size_t kFirstFolds = 2;
inline constexpr double kGivenUp = std::numeric_limits<double>::infinity();  ///< its held-out loss

/// Folds that hold at least one row; an empty fold would fit all rows once more for nothing.
std::vector<int> used_folds(const TrainingRows& rows, int folds);

/// Takes what a fold's weights say of the rows that they have not seen.
/// @param f  of these rows
void take_fold(HeldOut& held_out, int fold, const TrainingRows::Part& unseen, GatedOperator<float>& f,
               const Matrix<float>& gates, const GatedWeights& fitted);

/// Held-out loss and accuracy of predictions over the rows that count, at their best scale: Phase II sets the scale
/// anew, and on prompts that a model has not seen a weak penalty mostly makes it too sure of what it gets right.
void judge_held_out(HeldOut& held_out, const TrainingRows& rows);

/// Whether the predictions of the folds so far are no better than the rival's of the same rows, each at its best scale
/// there. Neighbouring penalties err on the same rows, so a part of the rows ranks them as all do, but for those that
/// are nearly as good as each other.
bool is_behind(const HeldOut& one, const HeldOut& rival, const TrainingRows& rows);

/// Whether the held-out loss is.
bool is_lower(const HeldOut& a, const HeldOut& b);

/// The mean of the folds' weights: a start a few iterations away from the solution on all rows.
Matrix<float> mean_of_folds(const std::vector<Matrix<float>>& weights);

inline constexpr double kClearly = 2;  ///< standard errors

/// Whether `a` predicts the rows that it was judged on better than `b` by more than so many standard errors of the
/// paired difference of their losses. The best of many candidates is the luckiest as well: on few rows a richer model
/// must show more than a lower mean.
bool is_better(const HeldOut& a, const HeldOut& b, const TrainingRows& rows, double standard_errors);

}  // namespace coala
