#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "core/parallel.h"
#include "linalg/host_rows.h"
#include "solver/design_rows.h"

namespace coala {

/// F = [D_1 X .. D_P X] as an operator: (F w)_i = sum_p D_ip x_i' w_p, for pairs minus the same of x'_i. The weights
/// are W [P, d]. Every call is one pass over X on the CPU (linalg/host_rows.h).
template <class T>
class GatedOperator {
 public:
  /// @param rows   features; must outlive the operator
  /// @param gates  [P, d]; the pattern is computed here
  GatedOperator(DesignRows<T> rows, MatrixView<const T> gates, ThreadPool& pool);
  /// With a given pattern D [n, P] of pointwise rows in one segment.
  GatedOperator(DesignRows<T> rows, const Matrix<std::uint8_t>& pattern, ThreadPool& pool);

  ThreadPool& pool() const { return *pool_; }
  std::size_t rows() const { return host_.rows(); }
  std::size_t groups() const { return host_.groups(); }
  std::size_t dimension() const { return host_.dimension(); }
  const DesignRows<T>& design() const { return rows_; }
  std::size_t chunks() const { return host_.chunks(); }
  /// Its rows where a backend has them: each device loads them once, and keeps them as long as the operator lives. The
  /// backend outlives the operator.
  /// @param features  that the backend has loaded, these rows among them (load_features()), or null
  PassRows& on(Backend& backend,
               std::shared_ptr<const LoadedFeatures> features = nullptr) requires std::same_as<T, float>;

  /// z := F w, [n].
  void forward(MatrixView<const T> w, std::span<T> z);
  /// g := F' r, [P, d].
  void adjoint(std::span<const T> r, MatrixView<T> g);
  /// Both in one pass: g := F' r(F w), by a map of blocks of predictions.
  using BlockMap = typename HostRows<T>::BlockMap;
  void fused_blocks(MatrixView<const T> w, const BlockMap& map, MatrixView<T> g);
  /// The same with a map of single rows.
  void fused(MatrixView<const T> w, const std::function<T(std::size_t row, T z)>& map, MatrixView<T> g);

  void release_tables() { host_.release_tables(); }

  /// Passes over X so far, wherever, and the bytes of X that one pass reads.
  std::uint64_t passes() const { return host_.passes() + on_devices(&PassRows::passes); }
  std::uint64_t bytes_per_pass() const { return host_.bytes(); }
  /// Floating-point operations so far.
  double flops() const { return host_.flops() + on_devices(&PassRows::flops); }
  /// Counts operations that solvers spend beside the passes.
  void add_flops(double flops) { host_.add_flops(flops); }

 private:
  struct Loaded {
    const Backend* backend;
    std::unique_ptr<PassRows> rows;
  };

  template <class Count>
  Count on_devices(Count (PassRows::*count)() const) const {
    Count sum = 0;
    for (const Loaded& loaded : loaded_) sum += (*loaded.rows.*count)();
    return sum;
  }

  DesignRows<T> rows_;
  ThreadPool* pool_;
  HostRows<T> host_;
  std::vector<Loaded> loaded_;  ///< on devices
};

/// Features where a backend has them, for operators of all or some of these rows, which outlive the result; see
/// Backend::load_features().
std::shared_ptr<const LoadedFeatures> load_features(const DesignRows<float>& rows, Backend& backend);

}  // namespace coala
