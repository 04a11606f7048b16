#pragma once

#include <span>
#include <vector>

#include "decode/logit_tilt.h"
#include "decode/reply_stream.h"
#include "lm/session.h"

namespace coala {

/// Draws tokens of replies, with what guidance adds to the logits.
class TokenDrawer {
 public:
  /// The logits to draw from: the model's, or where there is a tilt a copy with it, valid until the next call.
  std::span<const float> tilted(const Session::Output& output, const LogitTilt* tilt, ThreadPool* threads);

  /// Draws a reply's next token.
  void draw(ReplyStream& stream, const Session::Output& output, const LogitTilt* tilt, ThreadPool* threads);

 private:
  std::vector<float> tilted_;
};

}  // namespace coala
