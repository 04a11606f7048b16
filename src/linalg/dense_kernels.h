#pragma once

#include <cstddef>
#include <cstdint>

namespace coala {

/// Columns that a panel holds side by side, whatever the instruction set.
inline constexpr std::size_t kPanelColumns = 32;
/// Products over k are added up in steps of this many, whatever the number of rows: a panel of a step (32 KB) stays in
/// the first-level cache, and a row's result does not depend on what other rows there are.
inline constexpr std::size_t kPanelDepth = 256;

/// Kernels for products of matrices that do not fit into caches, and for attention. Everything is computed in single
/// precision with fused multiply-adds, in one order per element.
///
/// A panel is [k][kPanelColumns]: 32 rows of a matrix, turned over, zero beyond its last row. Packed rows are
/// [tile][k][row_tile]: tiles of row_tile rows, turned over, zero beyond the last row.
struct DenseKernels {
  std::size_t row_tile;

  /// `rows` rows of k numbers, `stride` numbers apart.
  void (*pack_rows)(const float* x, std::size_t stride, std::size_t rows, std::size_t k, float* packed);

  /// `columns` rows (at most 32) of k stored numbers, `stride` bytes apart.
  using PackPanel = void (*)(const std::byte* w, std::size_t stride, std::size_t columns, std::size_t k, float* panel);
  PackPanel pack_panel_f32;
  PackPanel pack_panel_f16;
  PackPanel pack_panel_bf16;

  /// c[rows][columns] = (c +) rows panel. c's rows are `stride` numbers apart.
  void (*product)(const float* packed, std::size_t rows, const float* panel, std::size_t columns, std::size_t k,
                  float* c, std::size_t stride, bool accumulate);

  /// c[rows][columns] = x w^T for a few rows, without a panel: each weight is read once from where it is stored, and
  /// turning it over would take longer than its products. Each sum has one order, whatever the rows and columns.
  /// Strides of x and c in numbers, that of w's rows in bytes.
  using Dots = void (*)(const float* x, std::size_t x_stride, std::size_t rows, const std::byte* w,
                        std::size_t w_stride, std::size_t columns, std::size_t k, float* c, std::size_t c_stride);
  Dots dots_f32;
  Dots dots_f16;
  Dots dots_bf16;
  /// k a multiple of 32. Null where registers hold eight numbers: to make single numbers of 32 of 8 bits takes sixteen
  /// instructions there, and ggml's products of 8 bits ten.
  Dots dots_q8_0;

  /// x[i] = exp(x[i] * scale + bias[i] - their maximum), rows of `count` (a multiple of 32) numbers; `sums` gets each
  /// row's sum. At most row_tile rows are also written as packed rows [count][row_tile], unless that is null. A bias
  /// of -infinity gives exactly zero; every row has another one. Relative error of exp below 2e-7.
  /// @param x     rows `count` numbers apart
  /// @param bias  per row, `count` numbers; null rows are not computed
  void (*soft_max)(float* x, const float* const* bias, std::size_t rows, std::size_t count, float scale, float* packed,
                   float* sums);

  /// out[i] = gate[i] x[i] / (1 + exp(-2 u)), u = sqrt(2/pi) (x[i] + 0.044715 x[i]^3): the Gaussian error linear unit
  /// by its hyperbolic tangent (Hendrycks and Gimpel 2016). Relative error below 2e-6. `out` may be x or gate.
  /// @param gate  null: all ones
  void (*gelu)(const float* x, const float* gate, std::size_t count, float* out);
};

/// The fastest that this CPU runs, or null when it has no vector instructions that would make them worth while.
const DenseKernels* dense_kernels();

}  // namespace coala
