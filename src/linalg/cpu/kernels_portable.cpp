#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/cpu/kernel_sets.h"
#include "linalg/cpu/logistic_kernel_generic.h"

namespace coala {

const KernelSet kKernels_portable{
    "portable",
    {&GatedKernelsGeneric<float, 16>::forward, &GatedKernelsGeneric<float, 16>::adjoint},
    {&GatedKernelsGeneric<double, 16>::forward, &GatedKernelsGeneric<double, 16>::adjoint},
    &LogisticKernelGeneric<double, 16>::run};

}  // namespace coala
