#include "lm/late_output.h"

#include <ggml-backend.h>
#include <ggml.h>

#include <cstring>

#include "linalg/dense_kernels.h"
#include "lm/accelerator.h"
#include "lm/context.h"

namespace coala {

void LateOutput::attach(llama_context_params& params) {
  params.cb_eval = &on_node;
  params.cb_eval_user_data = this;
}

bool LateOutput::on_node(ggml_tensor* node, bool ask, void* self_pointer) {
  auto& self = *static_cast<LateOutput*>(self_pointer);
  const bool stop = self.armed_ && is_last_state(node->name);
  if (!ask) return !stop;
  if (!self.checked_ && node->op == GGML_OP_MUL_MAT && std::strcmp(node->name, "result_output") == 0) {
    self.weights_ = node->src[0];
  }
  return stop;
}

bool LateOutput::can_multiply(std::size_t states, std::size_t logits) const {
  return has_accelerator() && weights_ != nullptr && weights_->buffer != nullptr &&
         ggml_backend_buffer_is_host(weights_->buffer) && FewRows(*dense_kernels()).can_multiply(*weights_) &&
         static_cast<std::size_t>(weights_->ne[0]) == states && static_cast<std::size_t>(weights_->ne[1]) == logits;
}

void LateOutput::check(std::span<const float> state, std::span<const float> logits) {
  if (checked_) return;
  checked_ = true;
  pool_ = last_threads();
  if (pool_ == nullptr || !can_multiply(state.size(), logits.size())) return;
  few_rows_.emplace(*dense_kernels());
  logits_.resize(logits.size());
  possible_ = std::memcmp(this->logits(state).data(), logits.data(), logits.size_bytes()) == 0;
}

std::span<const float> LateOutput::logits(std::span<const float> state) {
  few_rows_->multiply(*weights_, state.data(), state.size(), 1, logits_.data(), *pool_);
  return logits_;
}

std::span<const float> LateOutput::logits_of(std::span<const std::span<const float>> states) {
  states_.clear();
  for (const std::span<const float> state : states) states_.insert(states_.end(), state.begin(), state.end());
  many_logits_.resize(states.size() * logits_.size());
  few_rows_->multiply(*weights_, states_.data(), states_.size() / states.size(), states.size(), many_logits_.data(),
                      *pool_);
  return many_logits_;
}

}  // namespace coala
