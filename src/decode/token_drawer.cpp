#include "decode/token_drawer.h"

#include "lm/token_odds.h"

namespace coala {

DrawnToken drawn_token(const GenerationSettings& settings, std::span<const float> guided, std::span<const float> own,
                       Token token, std::optional<double> score) {
  DrawnToken drawn;
  drawn.token = token;
  drawn.score = score;
  if (settings.measures) {
    const TokenOdds odds = token_odds(own, token);
    drawn.log_probability = odds.log_probability;
    drawn.entropy = odds.entropy;
    if (settings.tilt != nullptr) drawn.divergence = divergence(guided, own, odds);
  }
  if (settings.alternatives) {
    drawn.guided_log_probability = settings.tilt != nullptr || !settings.measures
                                       ? token_odds(guided, token).log_probability
                                       : drawn.log_probability;
    drawn.alternatives = most_probable(guided, *settings.alternatives);
  }
  return drawn;
}

std::span<const float> TokenDrawer::tilted(const Session::Output& output, const LogitsProcessor* tilt,
                                           ThreadPool* threads) {
  if (tilt == nullptr) return output.logits;
  tilted_.assign(output.logits.begin(), output.logits.end());
  tilt->add(output.state, 1, tilted_, threads);
  return tilted_;
}

void TokenDrawer::draw(ReplyStream& stream, const Session::Output& output, ThreadPool* threads) {
  const GenerationSettings& settings = stream.settings();
  const std::span<const float> logits = tilted(output, settings.tilt, threads);
  stream.take(drawn_token(settings, logits, output.logits, stream.sampler().draw(logits)));
}

}  // namespace coala
