#pragma once

#include <span>

#include "extract/feature_extractor.h"
#include "features/token_basis.h"
#include "lm/output_matrix.h"

namespace coala {

/// The basis for a token head of a given rank from a sample of responses: the leading eigenvectors of E[h h'] and of
/// E[(e_y - E[e_c | h]) (e_y - E[e_c | h])'] over the tokens that follow the states h.
/// @param rank     at most d of the model
/// @param threads  0: all cores this process may use; the numbers do not depend on it
/// @throws Error{BadInput} when the sample holds no token; Error{Interrupted}
TokenBasis fit_token_basis(FeatureExtractor& extractor, const OutputMatrix& output,
                           std::span<const EncodedResponse> sample, std::size_t rank, int threads);

}  // namespace coala
