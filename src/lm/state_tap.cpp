#include "lm/state_tap.h"

#include <ggml-backend.h>

#include "lm/context.h"

namespace coala {

void StateTap::attach(llama_context_params& params) {
  next_ = params.cb_eval;
  next_data_ = params.cb_eval_user_data;
  params.cb_eval = &on_node;
  params.cb_eval_user_data = this;
}

void StateTap::begin(bool active) {
  active_ = active;
  fired_ = 0;
  states_.clear();
}

bool StateTap::on_node(ggml_tensor* node, bool ask, void* self_pointer) {
  auto& self = *static_cast<StateTap*>(self_pointer);
  const bool own = self.active_ && is_last_state(node->name) && node->type == GGML_TYPE_F32;
  if (ask) {
    self.next_wants_ = self.next_ != nullptr && self.next_(node, true, self.next_data_);
    return own || self.next_wants_;
  }
  if (own) {
    ++self.fired_;
    self.states_.resize(static_cast<std::size_t>(ggml_nelements(node)));
    ggml_backend_tensor_get(node, self.states_.data(), 0, ggml_nbytes(node));
  }
  return !self.next_wants_ || self.next_(node, false, self.next_data_);
}

std::span<const float> StateTap::state(std::size_t row, std::size_t dimension) const {
  if (fired_ != 1 || (row + 1) * dimension > states_.size()) return {};
  return std::span(states_).subspan(row * dimension, dimension);
}

}  // namespace coala
