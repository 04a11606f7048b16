#include "linalg/cpu/bfloat_kernels_generic.h"
#include "linalg/cpu/block_kernels_avx2.h"
#include "linalg/cpu/dense_kernels_generic.h"
#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/cpu/kernel_sets.h"
#include "linalg/cpu/logistic_kernel_generic.h"

namespace coala {

static constexpr BlockKernels kBlocks = block_kernels_avx2();

const KernelSet kKernels_avx512{"avx512",
                                gated_kernels_generic<float, Single, 64>(),
                                gated_kernels_generic<float, Half, 64>(),
                                gated_kernels_generic<float, BFloat, 64>(),
                                gated_kernels_generic<double, Double, 64>(),
                                &LogisticKernelGeneric<double, 64>::run,
                                dense_kernels_generic<64, 14>(),
                                bfloat_kernels_generic<64>("avx512"),
                                &kBlocks};

}  // namespace coala
