#include "solver/backend_metric.h"

namespace coala {

BackendMetric::BackendMetric(const GatedMetric& metric, std::size_t groups, Backend& backend)
    : metric_(&metric), backend_(&backend), groups_(groups), scale_(backend.constant(metric.scale)) {
  const std::size_t rank = metric.leading.rank();
  if (metric.basis.rows() > 0) {
    basis_ = backend.constant(metric.basis.values());
  } else if (rank > 0) {
    vectors_ = backend.constant(metric.leading.vectors().values());
    triangle_ = backend.constant(metric.leading.triangle().values());
    inside_ = backend.allocate(groups * rank);
    turned_ = backend.allocate(groups * rank);
  }
}

void BackendMetric::turn(const Buffer& from, bool back, Buffer& to) {
  const std::size_t d = metric_->dimension();
  const std::size_t rank = metric_->leading.rank();
  if (basis_.size() > 0) {
    backend_->product({.a = &from, .b = &basis_, .c = &to, .m = groups_, .n = d, .k = d, .transpose_b = !back});
    return;
  }
  backend_->copy(from, to);
  if (rank == 0) return;
  // from Q = from - (from V') T V, with T' for Q'; LAPACK's T is the transpose of ours.
  backend_->product({.a = &from, .b = &vectors_, .c = &inside_, .m = groups_, .n = rank, .k = d, .transpose_b = true});
  backend_->product(
      {.a = &inside_, .b = &triangle_, .c = &turned_, .m = groups_, .n = rank, .k = rank, .transpose_b = !back});
  backend_->product({.a = &turned_, .b = &vectors_, .c = &to, .m = groups_, .n = d, .k = rank, .alpha = -1, .beta = 1});
}

}  // namespace coala
