#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "linalg/row_loss.h"

namespace coala {

/// What the rows of a loss are.
enum class RowStructure {
  Responses,  ///< one for each response, with a label of its own
  Pairs,      ///< one for each pair: the difference of its responses, y = +1, with a margin
};

/// A convex loss of a prediction z, with all that solver, selection and certificate ask of it (docs/math.md, Losses).
/// A loss has one file and a line in loss.cpp.
class LossFunction : public RowLoss {
 public:
  virtual std::string_view name() const noexcept = 0;  ///< on the command line and in files
  virtual RowStructure rows() const noexcept = 0;
  /// Is it weight * (z - y)^2 / 2, so that the best bias and the best dual point have closed forms?
  virtual bool is_quadratic() const noexcept = 0;

  /// weight * loss(z), and its first and second derivative in z.
  virtual double value(const Target& target, double z) const noexcept = 0;
  virtual double derivative(const Target& target, double z) const noexcept = 0;
  virtual double curvature(const Target& target, double z) const noexcept = 0;
  /// An upper bound of the second derivative for weight 1.
  virtual double curvature_bound() const noexcept = 0;
  /// The convex conjugate of weight * loss at s; infinite outside its domain.
  virtual double conjugate(const Target& target, double s) const noexcept = 0;
  /// The point of the conjugate's domain that is nearest to s: rounding may leave the domain a little.
  virtual double in_domain(const Target& target, double s) const noexcept = 0;

  LossSums sums(const TargetRows& rows, const float* z, double bias, float* derivatives) const noexcept override;
};

/// 1/2 (z - y)^2, a row for each response.
const LossFunction& squared_loss();
/// log(1 + exp(-(y z - margin))), a row for each response.
const LossFunction& logistic_loss();
/// The same of a pair's difference of scores.
const LossFunction& bradley_terry_loss();

}  // namespace coala
