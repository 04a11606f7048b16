#pragma once

#include <llama.h>

#include <cstddef>
#include <span>
#include <vector>

namespace coala {

/// Copies the states after the final norm out of a context's evaluations, one row per output. For batches that
/// llama.cpp evaluates in one piece and in their order: one sequence, or a token of each of several.
class StateTap {
 public:
  /// Has the context that is made from these parameters report its nodes here, and on to whom they name already.
  void attach(llama_context_params& params);
  void begin(bool active);  ///< before an evaluation
  /// @return  state of an output [d]; empty when there is none
  std::span<const float> state(std::size_t row, std::size_t dimension) const;

 private:
  static bool on_node(ggml_tensor* node, bool ask, void* self);

  ggml_backend_sched_eval_callback next_ = nullptr;
  void* next_data_ = nullptr;
  bool next_wants_ = false;
  bool active_ = false;
  int fired_ = 0;
  std::vector<float> states_;
};

}  // namespace coala
