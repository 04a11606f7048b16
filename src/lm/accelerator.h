#pragma once

#include "core/parallel.h"
#include "lm/precision.h"

namespace coala {

/// Makes llama.cpp evaluate large matrix products and attention on the CPU with our own kernels (linalg/
/// dense_kernels.h): in single precision throughout, without rounding the activations to the type of the weights, and
/// without comparing tokens with those that they do not see. To be called before a model is loaded; does nothing when
/// called again, or on a CPU that the kernels are not made for.
///
/// ggml takes it for a further device, which does everything that its CPU device does, and is preferred to it. So a
/// graph stays in one piece, and everything that we have no kernel for is handed to ggml's own CPU code.
void register_accelerator();

/// The threads that the calling thread's last evaluation used; they live as long as its context. nullptr: none of ours.
ThreadPool* last_threads();

/// Do our kernels compute: does the CPU run them, and are they switched on?
bool has_accelerator();

/// While it lives, what this thread has llama.cpp evaluate is computed in this precision.
class PrecisionScope {
 public:
  explicit PrecisionScope(Precision precision);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Precision before_;
};

/// While it lives, what this thread has llama.cpp evaluate is stopped before the output matrix, if so it says.
/// llama.cpp copies rows times vocabulary logits all the same, set or not; this leaves the copy out.
class StatesOnlyScope {
 public:
  explicit StatesOnlyScope(bool states_only);
  ~StatesOnlyScope();
  StatesOnlyScope(const StatesOnlyScope&) = delete;
  StatesOnlyScope& operator=(const StatesOnlyScope&) = delete;

 private:
  bool before_;
};

/// Switches the kernels off and on, for comparisons; affects all models.
void use_accelerator(bool on);

}  // namespace coala
