#pragma once

#include <string>

namespace coala {

/// How products with the model's weights are computed. Attention is in single precision in any case.
enum class Precision {
  F32,
  /// Weights and states are rounded to bfloat16 and added up in single precision: twice the speed on CPUs with
  /// instructions for it, for states that are off by some thousandths.
  BF16,
};
const char* precision_name(Precision precision);  ///< "f32", "bf16"

}  // namespace coala
