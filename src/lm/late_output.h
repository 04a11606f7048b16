#pragma once

#include <llama.h>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "lm/few_rows.h"

struct ggml_tensor;

namespace coala {

/// Leaves the product of the last states with the output matrix out of a decode, and evaluates it later for those of
/// them whose logits somebody reads. Of fifteen branches that is one; the matrix is 29 % of imdb-llama's weights.
///
/// The same kernel on the same memory, so the logits are those of the decode to the bit. That is not assumed but seen:
/// check() compares with a decode that made them. A model whose logits are more than a product (a scale, a soft cap, an
/// adapter), or whose matrix has no kernel of ours, is evaluated in full as before.
class LateOutput {
 public:
  /// Has the context that is made from these parameters report its nodes here.
  void attach(llama_context_params& params);

  /// Looks, once, at what the decode of one row that has just been made on this thread made of its state.
  void check(std::span<const float> state, std::span<const float> logits);
  bool possible() const { return possible_; }

  /// Whether the decodes to come end at the states; llama.cpp's logits are then not set.
  void stop_at_states(bool stop) { armed_ = stop; }

  /// The logits of a state [d]; valid until the next call.
  std::span<const float> logits(std::span<const float> state);
  /// The logits [states][vocabulary] of several; valid until the next call, and beside those of logits().
  std::span<const float> logits_of(std::span<const std::span<const float>> states);

 private:
  static bool on_node(ggml_tensor* node, bool ask, void* self);
  bool can_multiply(std::size_t states, std::size_t logits) const;

  const ggml_tensor* weights_ = nullptr;  ///< the model's, learnt from the first graph
  ThreadPool* pool_ = nullptr;            ///< the context's; threads of our own would wait for cores where its spin
  std::optional<FewRows> few_rows_;       ///< once it is known that they are wanted
  std::vector<float> logits_;
  std::vector<float> states_, many_logits_;  ///< of logits_of()
  bool armed_ = false;
  bool checked_ = false;
  bool possible_ = false;
};

}  // namespace coala
