#pragma once

#include <cstdint>
#include <vector>

#include "core/matrix.h"
#include "extract/feature_extractor.h"
#include "extract/token_consumer.h"
#include "extract/token_projection.h"

namespace coala {

/// The sums over the tokens of a response that a token head is fitted to (docs/math.md, Token head): with h_t the state
/// before token y_t and e_c the output matrix' row of token c,
///   sum_t (U'h_t) (x) V'(e_{y_t} - E[e_c | h_t])  [r, r]   and   sum_t V'(e_{y_t} - E[e_c | h_t])  [r],
/// the expectation under the model itself. The token that ends a response is one of them, when the response is whole.
class TokenSums : public TokenConsumer {
 public:
  TokenSums(const TokenProjection& projection, NextTokenMean& mean, std::span<const EncodedResponse* const> responses,
            Token end_token);
  void take(const EvaluatedToken& token) override;

  /// Writes a response's sums, [r * r + r]; after all tokens were taken and flush() was called.
  void write(std::size_t response, std::span<float> to) const;
  void flush();

 private:
  bool looked_at(std::size_t response, std::size_t position) const;

  const TokenProjection& projection_;
  NextTokenMean& mean_;
  std::span<const EncodedResponse* const> responses_;
  Token end_token_;
  std::vector<std::uint64_t> seeds_;  ///< per response, when only some tokens are looked at
  Matrix<double> sums_;               ///< [responses, r * r + r]
  struct Waiting {
    std::size_t response;
    Token next;
  };
  std::vector<Waiting> waiting_;
  Matrix<float> states_;  ///< of those, [batch, d]
  Matrix<float> expected_;
  Matrix<float> projected_;
};

}  // namespace coala
