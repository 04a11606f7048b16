#include <limits>

#include "solver/loss_function.h"

namespace coala {
namespace {

class SquaredLoss : public LossFunction {
 public:
  std::string_view name() const noexcept override { return "squared"; }
  RowStructure rows() const noexcept override { return RowStructure::Responses; }
  bool is_quadratic() const noexcept override { return true; }
  LossForm form() const noexcept override { return LossForm::Squared; }

  double value(const Target& target, double z) const noexcept override {
    return target.weight * 0.5 * (z - target.label) * (z - target.label);
  }
  double derivative(const Target& target, double z) const noexcept override {
    return target.weight * (z - target.label);
  }
  double curvature(const Target& target, double) const noexcept override { return target.weight; }
  double curvature_bound() const noexcept override { return 1; }
  double conjugate(const Target& target, double s) const noexcept override {
    if (target.weight == 0) return s == 0 ? 0.0 : std::numeric_limits<double>::infinity();
    return s * s / (2 * target.weight) + s * target.label;
  }
  double in_domain(const Target&, double s) const noexcept override { return s; }
};

}  // namespace

const LossFunction& squared_loss() {
  static const SquaredLoss kLoss;
  return kLoss;
}

}  // namespace coala
