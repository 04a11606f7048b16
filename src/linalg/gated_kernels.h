#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coala {

/// The gates of a row are a bit pattern, and rows share patterns: what a row needs is not P products but one, with the
/// sum of the weights of its open groups. So the groups go into tables of a few each, a table has the sums of all
/// subsets of its groups, and a row picks one entry from each table (the "method of four Russians" for a product with a
/// 0/1 matrix). The adjoint goes the other way: rows are added up in the entry of their pattern, and a group's gradient
/// is the sum of the entries it is open in. The work per entry of X falls from P products to one product and one
/// addition for each table, which a CPU does faster than memory delivers X.
///
/// In memory: [block][table][entry][column], columns in blocks such that the tables of a block stay in the first-level
/// cache; columns beyond the dimension are zero.
struct TableLayout {
  std::size_t dimension = 0;
  std::size_t tables = 0;
  std::size_t entries = 0;        ///< of a table: 2 to the number of its groups
  std::size_t block_columns = 0;  ///< a multiple of 16
  std::size_t blocks = 0;

  std::size_t size() const { return blocks * tables * entries * block_columns; }
};

inline constexpr std::size_t kMostTableGroups = 5;

/// @param groups        that differ between rows; at least 1
/// @param number_bytes  size of a number
TableLayout table_layout(std::size_t dimension, std::size_t groups, std::size_t number_bytes);

/// Rows [begin, end) that are needed next: fetched into the second-level cache, a little with each row that is worked
/// on, so that memory delivers while the CPU computes.
template <class T>
struct RowsAhead {
  const T* x = nullptr;
  std::size_t stride = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The two products of the gated operator on a block of rows. `codes` [rows][tables] are the rows' entries. Tables (and
/// rows, for full speed) start at a cache line.
template <class T>
struct GatedKernels {
  /// z_i += sign * x_i' (sum of the row's entries)
  using Forward = void (*)(const T* x, std::size_t stride, std::size_t rows, const TableLayout& layout, const T* tables,
                           const std::uint8_t* codes, T sign, T* z, const RowsAhead<T>& ahead);
  /// (each of the row's entries) += sign * r_i x_i
  using Adjoint = void (*)(const T* x, std::size_t stride, std::size_t rows, const TableLayout& layout, T* tables,
                           const std::uint8_t* codes, T sign, const T* r, const RowsAhead<T>& ahead);

  Forward forward;
  Adjoint adjoint;
};

/// The fastest kernels that this CPU runs; the variable COALA_SIMD replaces the choice.
/// @throws Error{BadUsage} when COALA_SIMD names kernels that this CPU or build lacks
template <class T>
const GatedKernels<T>& gated_kernels();
template <>
const GatedKernels<float>& gated_kernels();
template <>
const GatedKernels<double>& gated_kernels();

/// Which instruction set was chosen: "avx512", "avx2" or "portable".
std::string_view kernel_set_name();

}  // namespace coala
