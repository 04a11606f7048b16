#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "decode/logits_processor.h"
#include "head/token_head.h"
#include "lm/output_matrix.h"

namespace coala {

/// What the tokens of a vocabulary are to the heads of one basis, V'E': made once, and shared by all heads that differ
/// in their weights alone.
struct TokenTable {
  /// @param embeddings  V' [r, d]
  /// @throws Error{Mismatch} when they are for states of another size
  TokenTable(const Matrix<float>& embeddings, const OutputMatrix& output);

  std::size_t rank = 0;           ///< r
  std::size_t columns = 0;        ///< r in whole groups of four; the others are zero
  std::vector<float> units = {};  ///< [columns], of a direction's numbers
  /// Block of tokens by block of tokens, so that it is read once, from front to back: reading it is most of the cost.
  /// In units of a 32,767th of a direction's largest entry, which loses less than half precision would.
  std::vector<std::int16_t> blocks = {};
};

/// Guidance by a token head: scale * q(h, c) on the logit of every token c. Costs a product of [vocabulary, r] with a
/// vector per token, beside the [vocabulary, d] of the output matrix itself.
class TokenTilt : public LogitsProcessor {
 public:
  /// @throws Error{Mismatch} when the head is for states of another size
  TokenTilt(const TokenHead& head, const OutputMatrix& output, double scale);
  /// @param table  of the head's embeddings
  TokenTilt(const TokenHead& head, std::shared_ptr<const TokenTable> table, double scale);
  void add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool* threads) const override;

 private:
  std::shared_ptr<const TokenTable> table_;
  Matrix<float> projection_;  ///< scale U W [d, columns], its columns times the units of the table
};

/// Guidance by the head without context: a fixed bias on the logits, the baseline of every guided text.
class BiasTilt : public LogitsProcessor {
 public:
  BiasTilt(const TokenHead& head, const OutputMatrix& output, double scale);
  void add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool* threads) const override;

 private:
  std::vector<float> bias_;  ///< [padded vocabulary]
};

}  // namespace coala
