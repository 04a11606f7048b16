#pragma once

#include <cstddef>

#include "decode/logits_processor.h"
#include "lm/backbone.h"

namespace coala {

/// How far a merged model is from the guidance that it was made of.
struct ExportLoss {
  double divergence = 0;   ///< of its next-token distributions from the guided ones, nats per token
  double same_tokens = 0;  ///< share of tokens for which both have the same most probable one
  std::size_t tokens = 0;  ///< that were compared
};

/// Writes the guided model's most probable replies to a few questions, and compares token by token what the merged
/// model says after the same beginnings.
ExportLoss export_loss(const Backbone& backbone, const LogitsProcessor& tilt, const Backbone& merged, int threads);

}  // namespace coala
