#include "decode/token_drawer.h"

#include "lm/token_odds.h"

namespace coala {

std::span<const float> TokenDrawer::tilted(const Session::Output& output, const LogitTilt* tilt, ThreadPool* threads) {
  if (tilt == nullptr) return output.logits;
  tilted_.assign(output.logits.begin(), output.logits.end());
  tilt->add(output.state, tilted_, threads);
  return tilted_;
}

void TokenDrawer::draw(ReplyStream& stream, const Session::Output& output, const LogitTilt* tilt, ThreadPool* threads) {
  const std::span<const float> logits = tilted(output, tilt, threads);
  const Token token = stream.sampler().draw(logits);
  const TokenOdds odds = token_odds(output.logits, token);
  const double moved = tilt != nullptr ? divergence(logits, output.logits, odds) : 0;
  stream.take({token, odds.log_probability, odds.entropy, moved, {}});
}

}  // namespace coala
