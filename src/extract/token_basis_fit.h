#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "features/token_basis.h"
#include "lm/output_matrix.h"

namespace coala {

/// Takes a state, [d], and the token after it.
using FollowedState = std::function<void(std::span<const float> state, Token next)>;

/// The tokens that a basis is fitted to.
struct BasisTokens {
  std::size_t count = 0;
  /// Hands them over, every time the same ones in the same order; called twice.
  std::function<void(const FollowedState& take)> visit;
};

/// How closely the model's expectation of the next token is computed.
struct ExpectationEffort {
  std::size_t whole = 128;     ///< tokens, spread evenly, whose probabilities are computed for the whole vocabulary
  std::size_t support = 2048;  ///< of the vocabulary, the tokens that the expectations run over
  std::size_t tokens = 16384;  ///< of the sample at most, spread evenly, that the moments are of
};

/// Fits the basis of a token head: the leading eigenvectors of E[h h'] and of
/// E[(e_y - E[e_c | h]) (e_y - E[e_c | h])'] over tokens y and the states h before them. A product with the whole
/// output matrix for each of them would cost more than the model: so the expectation runs over the support, which
/// are the tokens that are most frequent in the texts and most probable to the model (docs/math.md, Coordinates).
/// @param rank     directions of either kind, at most d
/// @param threads  0: all cores this process may use; the numbers do not depend on it
/// @throws Error{BadInput} when there is no token; Error{Interrupted}
TokenBasis fit_token_basis(const OutputMatrix& output, const BasisTokens& tokens, const ExpectationEffort& effort,
                           std::size_t rank, int threads);

}  // namespace coala
