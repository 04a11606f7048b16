#pragma once

#include <array>

#include "core/setting.h"

namespace coala {

/// How products with the model's weights are computed. Attention is in single precision in any case.
enum class Precision {
  F32,
  /// Weights and states are rounded to bfloat16 and added up in single precision: twice the speed on CPUs with
  /// instructions for it, for states that are off by some thousandths.
  BF16,
};
inline constexpr std::array kPrecisions{Named{"f32", Precision::F32}, Named{"bf16", Precision::BF16}};
constexpr const auto& names_of(Precision) {
  return kPrecisions;
}

}  // namespace coala
