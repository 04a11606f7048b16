#pragma once

#include "linalg/backend.h"
#include "solver/metric.h"

namespace coala {

/// A metric in the memory of a backend.
class BackendMetric {
 public:
  /// @param metric  outlives this
  /// @param groups  P, of what is rotated
  BackendMetric(const GatedMetric& metric, std::size_t groups, Backend& backend);

  /// [d], the eigenvalues.
  const Buffer& scale() const { return scale_; }
  /// Weights or gradients [P, d] in the basis, and back.
  void rotate(const Buffer& from, Buffer& to) { turn(from, /*back=*/false, to); }
  void rotate_back(const Buffer& from, Buffer& to) { turn(from, /*back=*/true, to); }

 private:
  void turn(const Buffer& from, bool back, Buffer& to);

  const GatedMetric* metric_;
  Backend* backend_;
  std::size_t groups_;
  Buffer scale_;
  Buffer basis_;            ///< [d, d], or
  Buffer vectors_;          ///< [r, d], V of I - V'TV
  Buffer triangle_;         ///< [r, r], T
  Buffer inside_, turned_;  ///< [P, r], between the products
};

}  // namespace coala
