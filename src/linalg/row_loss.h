#pragma once

#include <cstddef>

#include "linalg/loss_sums.h"

namespace coala {

/// What a prediction is held against.
struct Target {
  double label = 1;   ///< y, -1 or +1
  double weight = 1;  ///< >= 0
  double margin = 0;
};

/// The same of many rows, [n] each.
struct TargetRows {
  const float* labels = nullptr;
  const float* weights = nullptr;
  const float* margins = nullptr;  ///< null: 0
  std::size_t count = 0;

  Target operator[](std::size_t i) const {
    return {labels[i], weights[i], margins != nullptr ? static_cast<double>(margins[i]) : 0.0};
  }
};

/// What a loss is to a backend that has kernels of its own for it.
enum class LossForm {
  Squared,   ///< weight (z - y)^2 / 2
  Logistic,  ///< weight log(1 + exp(margin - y z))
  Other,     ///< computed by sums() alone
};

/// A loss as a pass over rows needs it.
class RowLoss {
 public:
  virtual ~RowLoss() = default;

  virtual LossForm form() const noexcept { return LossForm::Other; }
  /// Sums over rows at z_i + bias.
  /// @param derivatives  [n], receives the derivatives, or null; may be z
  virtual LossSums sums(const TargetRows& rows, const float* z, double bias, float* derivatives) const noexcept = 0;
};

}  // namespace coala
