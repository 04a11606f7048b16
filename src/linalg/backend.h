#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/matrix.h"
#include "core/parallel.h"
#include "core/stored_rows.h"
#include "linalg/row_loss.h"

namespace coala {

/// Memory of a backend, which knows of what kind.
class BackendMemory {
 public:
  virtual ~BackendMemory() = default;
};

/// Numbers in single precision in a backend's memory. The backend outlives them.
class Buffer {
 public:
  Buffer() = default;
  Buffer(std::size_t size, std::unique_ptr<BackendMemory> memory) : size_(size), memory_(std::move(memory)) {}

  std::size_t size() const { return size_; }
  BackendMemory& memory() const { return *memory_; }

 private:
  std::size_t size_ = 0;
  std::unique_ptr<BackendMemory> memory_;
};

/// Features where a backend has them, for rows with patterns of their own (GatedData::loaded).
class LoadedFeatures {
 public:
  virtual ~LoadedFeatures() = default;
};

/// Rows of features and the gates that are open in them, in host memory: what F = [D_1 X .. D_P X] is made of. Of a
/// pair's F the second response is subtracted.
struct GatedData {
  struct Segment {
    StoredRows plus;                  ///< [n_s, d]
    StoredRows minus;                 ///< [n_s, d], or no rows for pointwise ones
    Matrix<std::uint8_t> plus_open;   ///< [n_s, P], 1 where the gate is open
    Matrix<std::uint8_t> minus_open;  ///< [n_s, P], or no rows
  };
  std::vector<Segment> segments;   ///< rows are numbered through them; all with the same d and P
  std::span<const float> mean{};   ///< [d]: x = (stored - mean) * scale; empty: x is what is stored
  std::span<const float> scale{};  ///< [d]; a scale of 0 switches a column off
  /// Of the backend that is to have the rows, with as much of a transform: the rows are among them, and are known by
  /// their addresses. Null: the features are loaded for these rows alone.
  std::shared_ptr<const LoadedFeatures> loaded{};
};

/// Rows where a backend has them, and what was done with them.
class PassRows {
 public:
  PassRows(std::size_t rows, std::size_t groups, std::size_t dimension, std::uint64_t bytes)
      : rows_(rows), groups_(groups), dimension_(dimension), bytes_(bytes) {}
  virtual ~PassRows() = default;

  std::size_t rows() const { return rows_; }
  std::size_t groups() const { return groups_; }
  std::size_t dimension() const { return dimension_; }
  /// Bytes of X as it is stored: what one pass reads.
  std::uint64_t bytes() const { return bytes_; }
  /// Passes so far.
  std::uint64_t passes() const { return passes_; }
  /// Floating-point operations so far, those of solvers beside the passes included.
  double flops() const { return flops_; }
  void add_flops(double flops) { flops_ += flops; }
  void count_pass(double flops) {
    ++passes_;
    flops_ += flops;
  }

 private:
  std::size_t rows_;
  std::size_t groups_;
  std::size_t dimension_;
  std::uint64_t bytes_;
  std::uint64_t passes_ = 0;
  double flops_ = 0;
};

/// Losses of rows: which, and its data.
struct LossData {
  const RowLoss* loss = nullptr;
  const Buffer* labels = nullptr;   ///< [n], -1 or +1
  const Buffer* weights = nullptr;  ///< [n], >= 0
  const Buffer* margins = nullptr;  ///< [n], or null: 0
};

/// The part of a pass that makes it a step of accelerated proximal gradient: the derivatives are not wanted at z, but
/// at z + factor (z - last), with the factor of the last proximal_step(). Buffers are [n].
struct PassAhead {
  const Buffer* y = nullptr;     ///< predictions at y, where the step began
  const Buffer* y_r = nullptr;   ///< derivatives there
  const Buffer* last = nullptr;  ///< predictions at the point before
  Buffer* z = nullptr;           ///< receives the predictions ahead
  double from_y = 0;             ///< bias minus the bias at y
  double from_last = 0;          ///< bias minus the bias at the point before
};

/// One pass over X: z := F w, r := the derivatives of the losses, gradient := F' r. Buffers are apart from each other
/// but for those that are said not to be.
struct GatedPass {
  const Buffer* w = nullptr;   ///< [P, d]; null: r is given, and only F' r is made
  Buffer* z = nullptr;         ///< [n], receives F w; null: not wanted
  Buffer* r = nullptr;         ///< [n], receives the derivatives, or null; without w they are given
  Buffer* gradient = nullptr;  ///< [P, d], receives F' r; null: only z is made, and loss is not used
  LossData loss{};
  double bias = 0;                   ///< is added to z in the losses
  const PassAhead* ahead = nullptr;  ///< null: the derivatives are those at z
};

/// C = alpha A op(B) + beta C, row-major: A [m, k], B [k, n], or [n, k] when it is transposed, C [m, n].
struct Product {
  const Buffer* a = nullptr;
  const Buffer* b = nullptr;
  Buffer* c = nullptr;
  std::size_t m = 0, n = 0, k = 0;
  bool transpose_b = false;
  float alpha = 1;
  float beta = 0;
};

/// A step of accelerated proximal gradient with restart (O'Donoghue & Candes 2015, the gradient scheme) for group
/// norms, in a diagonal metric M = curvature * diag(metric). For every group p
///   next_p = argmin_w 1/2 sum_j M_j (w_j - y_pj + gradient_pj / M_j)^2 + thresholds_p ||w||
///   ahead = next + factor (next - last)
/// with factor = momentum, or 0 when the momentum points uphill. Buffers are [P, d].
struct ProximalStep {
  const Buffer* y = nullptr;
  const Buffer* gradient = nullptr;  ///< of the losses at y
  const Buffer* last = nullptr;      ///< the point before
  const Buffer* metric = nullptr;    ///< [d], > 0
  Buffer* next = nullptr;
  Buffer* ahead = nullptr;
  std::span<const double> thresholds{};  ///< [P], >= 0
  double curvature = 1;                  ///< > 0
  double momentum = 0;
  double uphill = 0;  ///< what other coordinates (the bias) add to the sums of this name
  double square = 0;
};

/// What the last proximal_step() and the last gated_pass() summed up, in double or as precisely.
struct StepSums {
  double uphill = 0;  ///< - sum metric_j (next - y)(next - last)
  double square = 0;  ///< sum metric_j (next - y)^2
  double size = 0;    ///< sum metric_j y^2
  double factor = 0;  ///< by which `ahead` is ahead
};
struct PassSums {
  double loss = 0;         ///< at z + bias
  double rise = 0;         ///< sum y_r (z - y + from_y); this and the next two with PassAhead alone
  double absolute = 0;     ///< the same with all terms positive
  double largest = 0;      ///< |prediction| at y and at z
  double ahead_loss = 0;   ///< where the derivatives are
  double ahead_slope = 0;  ///< sum of the derivatives
};
struct BackendSums {
  StepSums step;
  PassSums pass;
};

/// What a backend has done.
struct Traffic {
  std::uint64_t launches = 0;      ///< kernels started
  std::uint64_t waits = 0;         ///< times that the host waited for the device
  std::uint64_t to_device = 0;     ///< bytes from host memory
  std::uint64_t to_host = 0;       ///< bytes to host memory
  std::uint64_t x_bytes = 0;       ///< of X, read by kernels
  std::uint64_t kernel_bytes = 0;  ///< read and written by kernels in all, each number once for a kernel that keeps it
};

/// The computations of a solver on one device, in single precision. Solvers keep their vectors in its buffers and call
/// these functions; scalars are theirs. Calls may return before the work is done, which is in the order of the calls;
/// read(), dots() and sums() wait for it. The same calls give the same bits. For one thread at a time.
///
/// Shapes are checked by assertion only. A device that fails, or has no memory left, throws Error{OutOfMemory} or
/// Error{Internal} with what its driver said, at the call or at the next one that waits.
class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  std::string_view name() const { return name_; }                ///< "cpu", "vulkan:0"
  std::string_view description() const { return description_; }  ///< as its driver names it
  /// Is its memory the host's, so that read() costs nothing?
  bool on_host() const { return on_host_; }
  const Traffic& traffic() const { return traffic_; }

  /// `size` numbers, which are anything at first. Error{BadUsage}: more than kernels of this device see.
  virtual Buffer allocate(std::size_t size) = 0;
  /// These numbers, which the caller leaves as and where they are for as long as the buffer lives.
  virtual Buffer constant(std::span<const float> values) = 0;
  /// to := values, as many.
  virtual void upload(std::span<const float> values, Buffer& to) = 0;
  /// The numbers, until the next call.
  virtual std::span<const float> read(const Buffer& from) = 0;
  /// to := from, of the same size.
  virtual void copy(const Buffer& from, Buffer& to) = 0;

  /// Bytes that are free for buffers and rows, as far as its driver tells.
  virtual std::uint64_t free_bytes() { return UINT64_MAX; }
  /// The features of these rows, whatever their patterns. They outlive the result.
  /// @returns  null for a backend that uses rows where they are
  /// @throws what load_rows() throws
  virtual std::shared_ptr<const LoadedFeatures> load_features(const GatedData&) { return nullptr; }
  /// @param data  its rows are used where they are, or copied; they and its spans outlive the result
  /// @throws Error{BadUsage} for rows that this backend cannot take
  virtual std::unique_ptr<PassRows> load_rows(GatedData data) = 0;
  /// @throws Error{BadUsage} for a loss that this backend has no kernel of
  virtual void gated_pass(PassRows& rows, const GatedPass& pass) = 0;
  virtual void product(const Product& product) = 0;
  virtual void proximal_step(const ProximalStep& step) = 0;
  /// Row by row, the inner products of A and B, [rows, size / rows] each.
  virtual std::vector<double> dots(const Buffer& a, const Buffer& b, std::size_t rows) = 0;
  virtual BackendSums sums() = 0;

 protected:
  Backend(std::string name, std::string description, bool on_host)
      : name_(std::move(name)), description_(std::move(description)), on_host_(on_host) {}

  Traffic traffic_;

 private:
  std::string name_;
  std::string description_;
  bool on_host_;
};

/// The names of those that this build has and that are there: "cpu", then devices, hardware first.
std::vector<std::string> backend_names();

/// @param pool  of the CPU's loops; outlives the backend
/// @throws Error{NotBuilt} for a kind that is not in this build, Error{BadUsage} for one that is not there or lacks
/// what
///   the kernels need
std::unique_ptr<Backend> open_backend(std::string_view name, ThreadPool& pool);

}  // namespace coala
