#pragma once

#include <memory>

#include "core/matrix.h"
#include "features/token_basis.h"
#include "lm/output_matrix.h"

namespace coala {

/// What turns states and tokens into the coordinates of a token basis; shared by all threads of an extraction.
struct TokenProjection {
  std::shared_ptr<const OutputMatrix> output;
  TokenBasis basis;
  Matrix<float> table;  ///< V'E' [r, padded vocabulary]: the coordinates of every token
  double share = 1;     ///< of the responses' tokens that are looked at, see token_share()

  TokenProjection(std::shared_ptr<const OutputMatrix> matrix, TokenBasis token_basis, double token_share)
      : output(std::move(matrix)),
        basis(std::move(token_basis)),
        table(output->table(basis.embeddings)),
        share(token_share) {}
};

/// The share of the tokens that may be looked at so that the output matrix, which extraction leaves out otherwise,
/// costs a quarter of the rest of the model at most. Small models with large vocabularies have to choose.
double token_share(const BackboneIdentity& backbone, std::size_t rank);

}  // namespace coala
