#pragma once

#include <optional>
#include <span>
#include <vector>

#include "decode/logits_processor.h"
#include "decode/reply_stream.h"
#include "lm/session.h"

namespace coala {

/// A token with what settings ask to know of it.
/// @param guided  the logits that it was drawn from; of the model's own, `own`, with a tilt's change
DrawnToken drawn_token(const GenerationSettings& settings, std::span<const float> guided, std::span<const float> own,
                       Token token, std::optional<double> score = {});

/// Draws tokens of replies, with what guidance adds to the logits.
class TokenDrawer {
 public:
  /// The logits to draw from: the model's, or where there is a tilt a copy with it, valid until the next call.
  std::span<const float> tilted(const Session::Output& output, const LogitsProcessor* tilt, ThreadPool* threads);

  /// Draws a reply's next token, as its settings say.
  void draw(ReplyStream& stream, const Session::Output& output, ThreadPool* threads);

 private:
  std::vector<float> tilted_;
};

}  // namespace coala
