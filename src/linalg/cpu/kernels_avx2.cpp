#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/cpu/kernel_sets.h"
#include "linalg/cpu/logistic_kernel_generic.h"

namespace coala {

const KernelSet kKernels_avx2{"avx2",
                              {&GatedKernelsGeneric<float, 32>::forward, &GatedKernelsGeneric<float, 32>::adjoint},
                              {&GatedKernelsGeneric<double, 32>::forward, &GatedKernelsGeneric<double, 32>::adjoint},
                              &LogisticKernelGeneric<double, 32>::run};

}  // namespace coala
