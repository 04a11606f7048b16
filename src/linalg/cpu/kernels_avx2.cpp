#include "linalg/cpu/bfloat_kernels_generic.h"
#include "linalg/cpu/block_kernels_avx2.h"
#include "linalg/cpu/dense_kernels_generic.h"
#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/cpu/kernel_sets.h"
#include "linalg/cpu/logistic_kernel_generic.h"

namespace coala {

static constexpr BlockKernels kBlocks = block_kernels_avx2();

const KernelSet kKernels_avx2{"avx2",
                              gated_kernels_generic<float, Single, 32>(),
                              gated_kernels_generic<float, Half, 32>(),
                              gated_kernels_generic<float, BFloat, 32>(),
                              gated_kernels_generic<double, Double, 32>(),
                              &LogisticKernelGeneric<double, 32>::run,
                              dense_kernels_generic<32, 6>(),
                              bfloat_kernels_generic<32>("avx2"),
                              &kBlocks};

}  // namespace coala
