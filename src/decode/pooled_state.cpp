#include "decode/pooled_state.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"

namespace coala {

void PooledState::add(std::span<const float> state) {
  if (pooling_ == Pooling::Last) {
    sum_.assign(state.begin(), state.end());
    count_ = 1;
    return;
  }
  // In double, as in extraction.
  for (std::size_t j = 0; j < sum_.size(); ++j) sum_[j] += static_cast<double>(state[j]);
  if (pooling_ == Pooling::MeanAndLast) last_.assign(state.begin(), state.end());
  ++count_;
}

std::vector<float> PooledState::feature() const {
  if (count_ == 0) throw Error(ErrorCode::Internal, "a feature of no tokens is asked for");
  std::vector<float> feature(sum_.size());
  for (std::size_t j = 0; j < sum_.size(); ++j) {
    feature[j] = static_cast<float>(sum_[j] / static_cast<double>(count_));
    if (!std::isfinite(feature[j])) {
      throw Error(ErrorCode::BadInput, fmt::format("the model's hidden states are not finite (column {})", j),
                  "the model file is damaged or its weights overflow; try another quantisation of it");
    }
  }
  feature.insert(feature.end(), last_.begin(), last_.end());
  return feature;
}

}  // namespace coala
