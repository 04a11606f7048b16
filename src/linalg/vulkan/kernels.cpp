#include "linalg/vulkan/kernels.h"

namespace coala {
namespace {

// As glslc writes them (src/CMakeLists.txt).
constexpr std::uint32_t kGatedPass[] =
#include "gated_pass.inc"
    ;
constexpr std::uint32_t kCollect[] =
#include "collect.inc"
    ;
constexpr std::uint32_t kFoldTransform[] =
#include "fold_transform.inc"
    ;
constexpr std::uint32_t kProximalStep[] =
#include "proximal_step.inc"
    ;
constexpr std::uint32_t kStepAhead[] =
#include "step_ahead.inc"
    ;
constexpr std::uint32_t kProduct[] =
#include "product.inc"
    ;
constexpr std::uint32_t kDots[] =
#include "dots.inc"
    ;

constexpr std::span<const std::uint32_t> kCode[kVulkanKernels] = {kGatedPass, kCollect, kFoldTransform, kProximalStep,
                                                                  kStepAhead, kProduct, kDots};

}  // namespace

std::span<const std::uint32_t> vulkan_code(VulkanKernel kernel) {
  return kCode[static_cast<std::size_t>(kernel)];
}

}  // namespace coala
