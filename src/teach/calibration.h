#pragma once

#include <cstdint>
#include <memory>

#include "features/token_basis.h"
#include "head/token_head.h"
#include "lm/backbone.h"
#include "lm/output_matrix.h"

namespace coala {

/// What is known of a model's own writing.
struct OwnWriting {
  TokenBasis basis;
  double entropy = 0;  ///< of its next-token distributions, nats, mean
};

/// Has the model answer everyday questions, briefly, and looks at the tokens and states of what it writes.
/// @param coordinates  head in whose coordinates the basis is to be; null: a basis of its own, of this rank
/// @throws Error{Interrupted}
OwnWriting calibrate(const Backbone& backbone, const std::shared_ptr<const OutputMatrix>& output,
                     const TokenHead* coordinates, std::size_t rank, TemplateMode mode, std::uint64_t seed,
                     int threads);

}  // namespace coala
