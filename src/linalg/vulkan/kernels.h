#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace coala {

/// The compute shaders of shaders/, compiled when coala is built.
enum class VulkanKernel { GatedPass, Collect, FoldTransform, ProximalStep, StepAhead, ProductOfMatrices, Dots };
inline constexpr std::size_t kVulkanKernels = 7;

/// Its SPIR-V.
std::span<const std::uint32_t> vulkan_code(VulkanKernel kernel);

/// The record of a backend: where the last step and the last pass leave their sums (shaders/sums.glsl). A sum is two
/// numbers, to be added in double.
inline constexpr std::size_t kRecordFactor = 0;
inline constexpr std::size_t kRecordStep = 1;   ///< uphill, square, size
inline constexpr std::size_t kRecordPass = 7;   ///< loss, rise, absolute, loss ahead, slope ahead; largest, one number
inline constexpr std::size_t kPassFloats = 11;  ///< of a pass's sums
inline constexpr std::size_t kRecordFloats = kRecordPass + kPassFloats;

}  // namespace coala
