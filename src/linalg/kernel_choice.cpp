#include <cstdlib>
#include <string>

#include "core/error.h"
#include "linalg/cpu/kernel_sets.h"

namespace coala {
namespace {

const KernelSet& choose() {
  const char* const variable = std::getenv("COALA_SIMD");
  const std::string wanted = variable != nullptr ? variable : "";
  const auto take = [&](const char* name, bool runs) { return runs && (wanted.empty() || wanted == name); };
#ifdef __x86_64__
  if (take("avx512", __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))) {
    return kKernels_avx512;
  }
  if (take("avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return kKernels_avx2;
#endif
  if (take("portable", true)) return kKernels_portable;
  throw Error(ErrorCode::BadUsage, "COALA_SIMD is '" + wanted + "', which this CPU or build does not have",
              "use avx512, avx2 or portable, or unset it");
}

const KernelSet& kernels() {
  static const KernelSet& chosen = choose();
  return chosen;
}

}  // namespace

template <>
const GatedKernels<float>& gated_kernels() {
  return kernels().gated_float;
}

template <>
const GatedKernels<double>& gated_kernels() {
  return kernels().gated_double;
}

LogisticKernel logistic_kernel() {
  return kernels().logistic;
}

std::string_view kernel_set_name() {
  return kernels().name;
}

}  // namespace coala
