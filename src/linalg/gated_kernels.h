#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/dtype.h"

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
inline constexpr std::size_t kMostKernelRows = 128;  ///< of a call: their partial sums stay in the first-level cache

/// @param groups        that differ between rows; at least 1
/// @param number_bytes  size of a number
TableLayout table_layout(std::size_t dimension, std::size_t groups, std::size_t number_bytes);

/// Rows that are needed next: fetched into the second-level cache, a little with each row that is worked on, so that
/// memory delivers while the CPU computes.
struct RowsAhead {
  const std::byte* const* rows = nullptr;
  std::size_t count = 0;
};

/// The two products of the gated operator on a block of at most kMostKernelRows rows of stored numbers, which are
/// converted to T in registers.
/// `codes` [count][tables] are the rows' entries. Tables (and rows, for full speed) start at a cache line.
template <class T>
struct GatedKernels {
  /// z_i += sign * x_i' (sum of the row's entries)
  using Forward = void (*)(const std::byte* const* rows, std::size_t count, const TableLayout& layout, const T* tables,
                           const std::uint8_t* codes, T sign, T* z, const RowsAhead& ahead);
  /// (each of the row's entries) += sign * r_i x_i
  using Adjoint = void (*)(const std::byte* const* rows, std::size_t count, const TableLayout& layout, T* tables,
                           const std::uint8_t* codes, T sign, const T* r, const RowsAhead& ahead);

  Forward forward;
  Adjoint adjoint;
};

/// The fastest kernels that this CPU runs on rows of F32, F16 or BF16 (T = float) or F64 (T = double); the variable
/// COALA_SIMD replaces the choice.
/// @throws Error{BadUsage} when COALA_SIMD names kernels that this CPU or build lacks, Error{Internal} for other types
template <class T>
const GatedKernels<T>& gated_kernels(Dtype stored);
template <>
const GatedKernels<float>& gated_kernels(Dtype stored);
template <>
const GatedKernels<double>& gated_kernels(Dtype stored);

/// Which instruction set was chosen: "avx512", "avx2" or "portable".
std::string_view kernel_set_name();

}  // namespace coala
