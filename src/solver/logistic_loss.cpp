#include <algorithm>
#include <cmath>
#include <limits>

#include "linalg/logistic_kernel.h"
#include "solver/loss.h"
#include "solver/loss_function.h"

namespace coala {
namespace {

/// q log q with its limit 0 at 0; rounding may bring q a little below 0.
double x_log_x(double q) noexcept {
  return q > 0 ? q * std::log(q) : 0.0;
}

class LogisticLoss : public LossFunction {
 public:
  LogisticLoss(std::string_view name, RowStructure rows) : name_(name), rows_(rows) {}

  std::string_view name() const noexcept override { return name_; }
  RowStructure rows() const noexcept override { return rows_; }
  bool is_quadratic() const noexcept override { return false; }
  LossForm form() const noexcept override { return LossForm::Logistic; }

  double value(const Target& target, double z) const noexcept override {
    return target.weight * softplus(target.margin - target.label * z);
  }
  double derivative(const Target& target, double z) const noexcept override {
    return -target.weight * target.label * sigmoid(target.margin - target.label * z);
  }
  double curvature(const Target& target, double z) const noexcept override {
    const double q = sigmoid(target.margin - target.label * z);
    return target.weight * q * (1 - q);
  }
  double curvature_bound() const noexcept override { return 0.25; }
  /// With u = y z - margin: s z - softplus(-u) has its supremum at q = -y s / weight in [0, 1].
  double conjugate(const Target& target, double s) const noexcept override {
    if (target.weight == 0) return s == 0 ? 0.0 : std::numeric_limits<double>::infinity();
    const double q = -target.label * s / target.weight;
    if (q < 0 || q > 1) return std::numeric_limits<double>::infinity();
    return target.weight * (x_log_x(q) + x_log_x(1 - q) - q * target.margin);
  }
  double in_domain(const Target& target, double s) const noexcept override {
    return -target.label * std::clamp(-target.label * s, 0.0, target.weight);
  }
  LossSums sums(const TargetRows& rows, const float* z, double bias, float* derivatives) const noexcept override {
    return logistic_kernel()(z, rows.labels, rows.weights, rows.margins, rows.count, bias, derivatives);
  }

 private:
  std::string_view name_;
  RowStructure rows_;
};

}  // namespace

const LossFunction& logistic_loss() {
  static const LogisticLoss kLoss("logistic", RowStructure::Responses);
  return kLoss;
}

const LossFunction& bradley_terry_loss() {
  static const LogisticLoss kLoss("bt", RowStructure::Pairs);
  return kLoss;
}

}  // namespace coala
