#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coala {

/// Groups are handled sixteen at a time: one chunk is one AVX-512 register of floats, and one word of the pattern.
inline constexpr std::size_t kChunkGroups = 16;

inline constexpr std::size_t chunks_of(std::size_t groups) {
  return (groups + kChunkGroups - 1) / kChunkGroups;
}

/// The two products of the gated operator on a block of rows. Weights and gradients are in chunk layout
/// [chunk][d][16], zero in the groups that fill up the last chunk; the pattern is [rows][chunks], bit k of a word for
/// group k of its chunk. Each is one pass over the block; together they need it in cache, not in memory.
template <class T>
struct GatedKernels {
  /// z_i += sign * sum_{p open at i} x_i' w_p
  using Forward = void (*)(const T* x, std::size_t stride, std::size_t rows, std::size_t d, const T* w,
                           std::size_t chunks, const std::uint16_t* pattern, T sign, T* z);
  /// g_p += sign * sum_{i open at p} r_i x_i
  using Adjoint = void (*)(const T* x, std::size_t stride, std::size_t rows, std::size_t d, const T* r,
                           std::size_t chunks, const std::uint16_t* pattern, T sign, T* g);

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
