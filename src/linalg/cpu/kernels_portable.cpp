#include "linalg/cpu/bfloat_kernels_generic.h"
#include "linalg/cpu/dense_kernels_generic.h"
#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/cpu/kernel_sets.h"
#include "linalg/cpu/logistic_kernel_generic.h"

namespace coala {

const KernelSet kKernels_portable{"portable",
                                  gated_kernels_generic<float, Single, 16>(),
                                  gated_kernels_generic<float, Half, 16>(),
                                  gated_kernels_generic<float, BFloat, 16>(),
                                  gated_kernels_generic<double, Double, 16>(),
                                  &LogisticKernelGeneric<double, 16>::run,
                                  dense_kernels_generic<16, 4>(),
                                  bfloat_kernels_generic<16>("portable"),
                                  nullptr};

}  // namespace coala
