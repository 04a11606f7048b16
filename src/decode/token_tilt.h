#pragma once

#include <cstdint>
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
  void add(std::span<const float> state, std::span<float> logits, ThreadPool* threads) const override;

 private:
  Matrix<float> projection_;  ///< scale U W [d, r], its columns times the units of blocks_
  /// V'E', block of tokens by block of tokens, so that it is read once, from front to back: reading it is most of the
  /// cost. In units of a 32,767th of a direction's largest entry, which loses less than half precision would.
  std::vector<std::int16_t> blocks_;
};

/// Guidance by the head without context: a fixed bias on the logits, the baseline of every guided text.
class BiasTilt : public LogitTilt {
 public:
  BiasTilt(const TokenHead& head, const OutputMatrix& output, double scale);
  void add(std::span<const float> state, std::span<float> logits, ThreadPool* threads) const override;

 private:
  std::vector<float> bias_;  ///< [padded vocabulary]
};

}  // namespace coala
