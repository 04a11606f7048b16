#pragma once

#include "head/token_head.h"
#include "lm/output_export.h"

namespace coala {

/// A token head at a scale as a change of the output matrix: E V W'U' = B A with B = E V W' and A = U'. Logits that the
/// model scales after the product are accounted for.
OutputChange output_change(const TokenHead& head, const OutputMatrix& output, double scale);

}  // namespace coala
