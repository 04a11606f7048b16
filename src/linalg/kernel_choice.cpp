#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <string>

#include "core/error.h"
#include "linalg/cpu/kernel_sets.h"

namespace coala {
namespace {

#ifdef __x86_64__
/// Bits of CPUID leaf 7, sub-leaf 1 (EAX, 5) and 0 (EDX, 22 and 24): older compilers have no names for them.
bool has_avx512_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1u) != 0;
}

/// Tiles are a state that a process must ask Linux for.
bool has_amx_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d >> 22 & 1u) == 0 || (d >> 24 & 1u) == 0) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool has_f16c() {
#ifdef __clang__
  return __builtin_cpu_supports("avx2");  // clang 14 cannot ask for f16c; every CPU with AVX2 has it
#else
  return __builtin_cpu_supports("f16c");
#endif
}
#endif

const KernelSet& choose() {
  const char* const variable = std::getenv("COALA_SIMD");
  const std::string wanted = variable != nullptr ? variable : "";
  const auto take = [&](const char* name, bool runs) { return runs && (wanted.empty() || wanted == name); };
#ifdef __x86_64__
  if (take("avx512", __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && has_f16c())) {
    return kKernels_avx512;
  }
  if (take("avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c())) return kKernels_avx2;
#endif
  if (take("portable", true)) return kKernels_portable;
  throw Error(ErrorCode::BadUsage, "COALA_SIMD is '" + wanted + "', which this CPU or build does not have",
              "use avx512, avx2 or portable, or unset it");
}

const KernelSet& kernels() {
  static const KernelSet& chosen = choose();
  return chosen;
}

const BFloatKernels& choose_bfloat() {
#ifdef __x86_64__
  if (std::getenv("COALA_SIMD") == nullptr && kernels().name == "avx512" && has_avx512_bf16()) {
    return has_amx_bf16() ? kBFloat_amx : kBFloat_avx512_bf16;
  }
#endif
  return kernels().bfloat;
}

Error no_kernels(Dtype stored) {
  return Error(ErrorCode::Internal, "no kernels for features of type " + std::string(dtype_name(stored)));
}

}  // namespace

template <>
const GatedKernels<float>& gated_kernels(Dtype stored) {
  switch (stored) {
    case Dtype::F32:
      return kernels().gated_f32;
    case Dtype::F16:
      return kernels().gated_f16;
    case Dtype::BF16:
      return kernels().gated_bf16;
    default:
      throw no_kernels(stored);
  }
}

template <>
const GatedKernels<double>& gated_kernels(Dtype stored) {
  if (stored != Dtype::F64) throw no_kernels(stored);
  return kernels().gated_f64;
}

LogisticKernel logistic_kernel() {
  return kernels().logistic;
}

const DenseKernels* dense_kernels() {
  return kernels().name == "portable" ? nullptr : &kernels().dense;
}

const BlockKernels* block_kernels() {
  return kernels().blocks;
}

const BFloatKernels& bfloat_kernels() {
  static const BFloatKernels& chosen = choose_bfloat();
  return chosen;
}

std::string_view kernel_set_name() {
  return kernels().name;
}

}  // namespace coala
