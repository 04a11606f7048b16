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
/// To be called before an evaluation: one on another device uses none, and those of the last may be gone.
void forget_last_threads();

/// Do our kernels compute: does the CPU run them, and are they switched on?
bool has_accelerator();

/// How a thread has llama.cpp evaluate.
struct Evaluation {
  Precision precision = Precision::F32;  ///< of products
  /// It is stopped before the output matrix. llama.cpp copies rows times vocabulary logits all the same, set or not;
  /// the copy is left out.
  bool states_only = false;
  /// Do rows meet weights in blocks as they are, however few there are? Otherwise a few are rounded to 8 bits a number
  /// first, as llama.cpp does with any number of rows: faster, and their states are off by some hundredths.
  bool exact_rows = false;
};

/// While it lives, this thread's evaluations are of this kind.
class EvaluationScope {
 public:
  explicit EvaluationScope(const Evaluation& evaluation);
  ~EvaluationScope();
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  Evaluation before_;
};

/// Switches the kernels off and on, for comparisons; affects what the calling thread evaluates, of all models.
void use_accelerator(bool on);

}  // namespace coala
