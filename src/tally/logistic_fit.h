#pragma once

#include <span>
#include <vector>

#include "core/matrix.h"

namespace coala {

/// Rows of a logistic model without intercept whose targets are probabilities. A row with target t and weight w is the
/// same as a won row of weight w t and a lost one of weight w (1 - t).
struct LogisticRows {
  Matrix<double> x;             ///< [n, p]
  std::vector<double> targets;  ///< [n], 0 to 1
  std::vector<double> weights;  ///< [n], >= 0
};

/// Minimises  l1 |b|_1 + l2/2 |b|^2 + sum_i w_i (t_i softplus(-z_i) + (1 - t_i) softplus(z_i)),  z = X b, by proximal
/// Newton steps to the limit of double precision.
/// @return [p]; where nothing bounds a coefficient (a side never won, no penalty) one that predicts that to 1e-12
std::vector<double> fit_logistic(const LogisticRows& rows, double l1, double l2);

/// Coefficients b with  sum_i sigmoid(x_i'b) x_i = sums: the labels that are nearest to 1/2, in entropy, among those
/// with given sums over the features.
/// @param sums  [p]
std::vector<double> match_sums(const Matrix<double>& x, std::span<const double> sums);

/// x_i'b
double linear(std::span<const double> x, std::span<const double> coefficients);

}  // namespace coala
