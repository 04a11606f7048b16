#include "decode/reply.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "decode/diversity.h"

namespace coala {

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::Stop:
      return "stop";
    case Finish::Length:
      return "length";
    case Finish::Context:
      return "context";
  }
  throw Error(ErrorCode::Internal, "an ending without a name");
}

bool is_outside(const Reply& reply) {
  constexpr double kFewNats = 4;           // in all, which a short reply may differ by
  constexpr double kMostSurprise = 0.5;    // nats per token above the entropy, and what chance adds:
  constexpr double kChance = 4;            // over the root of the tokens, two standard deviations of most models'
  constexpr double kMostRepetition = 0.5;  // share of runs of four tokens that stood before
  constexpr std::size_t kFewTokens = 24;   // of which a half may be repeated by a list or a rhyme
  if (reply.log_probability_tokens == 0) return false;
  const auto tokens = static_cast<double>(reply.log_probability_tokens);
  if (reply.divergence > kMostDivergence * reply.entropy + kFewNats) return true;
  const double surprise = (-reply.log_probability - reply.entropy) / tokens;
  if (surprise > kMostSurprise + kChance / std::sqrt(tokens)) return true;
  return reply.tokens.size() >= kFewTokens && diversity({&reply.tokens, 1}).repetition > kMostRepetition;
}

std::size_t highest_score(std::span<const std::optional<double>> scores) {
  return static_cast<std::size_t>(std::ranges::max_element(scores) - scores.begin());
}

std::size_t best_of(std::span<const Reply> replies) {
  std::vector<std::optional<double>> scores;
  const bool some_inside = !std::ranges::all_of(replies, is_outside);
  for (const Reply& reply : replies) {
    scores.push_back(some_inside && is_outside(reply) ? std::nullopt : reply.score);
  }
  const std::size_t best = highest_score(scores);
  if (!some_inside || scores[best]) return best;
  // Without scores, the first that is inside.
  return static_cast<std::size_t>(std::ranges::find_if_not(replies, is_outside) - replies.begin());
}

}  // namespace coala
