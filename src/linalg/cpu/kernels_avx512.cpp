#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/cpu/kernel_sets.h"
#include "linalg/cpu/logistic_kernel_generic.h"

namespace coala {

const KernelSet kKernels_avx512{"avx512",
                                {&GatedKernelsGeneric<float, 64>::forward, &GatedKernelsGeneric<float, 64>::adjoint},
                                {&GatedKernelsGeneric<double, 64>::forward, &GatedKernelsGeneric<double, 64>::adjoint},
                                &LogisticKernelGeneric<double, 64>::run};

}  // namespace coala
