#pragma once

#include <string_view>

#include "linalg/bfloat_kernels.h"
#include "linalg/block_kernels.h"
#include "linalg/dense_kernels.h"
#include "linalg/gated_kernels.h"
#include "linalg/logistic_kernel.h"

namespace coala {

/// Everything that is compiled once per instruction set.
struct KernelSet {
  std::string_view name;
  GatedKernels<float> gated_f32;
  GatedKernels<float> gated_f16;
  GatedKernels<float> gated_bf16;
  GatedKernels<double> gated_f64;
  LogisticKernel logistic;
  DenseKernels dense;
  BFloatKernels bfloat;        ///< without instructions for them
  const BlockKernels* blocks;  ///< null: none
};

// One per instruction set, each defined in the file kernels_<set>.cpp that is compiled for that set; constant-
// initialised, so that nothing of it runs before the CPU is known.
extern const KernelSet kKernels_portable;
#ifdef __x86_64__
extern const KernelSet kKernels_avx2;
extern const KernelSet kKernels_avx512;
extern const BFloatKernels kBFloat_avx512_bf16;
extern const BFloatKernels kBFloat_amx;
#endif

}  // namespace coala
