#pragma once

#include <memory>
#include <vector>

#include "decode/logit_tilt.h"
#include "head/token_head.h"
#include "lm/output_matrix.h"

namespace coala {

/// Guidance by a token head: scale * q(h, c) on the logit of every token c. Costs a product of [vocabulary, r] with a
/// vector per token, beside the [vocabulary, d] of the output matrix itself.
class TokenTilt : public LogitTilt {
 public:
  /// @throws Error{Mismatch} when the head is for states of another size
  TokenTilt(const TokenHead& head, const OutputMatrix& output, double scale);
  void add(std::span<const float> state, std::span<float> logits) const override;

 private:
  TokenHead head_;
  Matrix<float> table_;  ///< V'E' [r, padded vocabulary]
  float scale_;
};

/// Guidance by the head without context: a fixed bias on the logits, the baseline of every guided text.
class BiasTilt : public LogitTilt {
 public:
  BiasTilt(const TokenHead& head, const OutputMatrix& output, double scale);
  void add(std::span<const float> state, std::span<float> logits) const override;

 private:
  std::vector<float> bias_;  ///< [padded vocabulary]
};

}  // namespace coala
