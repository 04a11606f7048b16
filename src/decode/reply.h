#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lm/token_odds.h"
#include "lm/tokenizer.h"

namespace coala {

/// How a reply ended.
enum class Finish {
  Stop,     ///< the model ended it, or a stop string
  Length,   ///< at max_tokens
  Context,  ///< the model's context is full
};
const char* finish_name(Finish finish);  ///< "stop", "length", "context"

/// A token as it was drawn.
struct DrawnToken {
  Token token = 0;
  double log_probability = 0;         ///< under the model as it is; as the next two, 0 where nothing is measured
  double entropy = 0;                 ///< of its distribution
  double divergence = 0;              ///< of the tilted distribution from it; 0 without a tilt
  std::optional<double> score;        ///< by the head, of the text with it, where branch guidance took that
  double guided_log_probability = 0;  ///< in the tilted distribution; as the next, where alternatives are asked for
  std::vector<TokenProbability> alternatives;  ///< the most probable tokens of the tilted distribution, first the best
};

/// One reply to a prompt.
struct Reply {
  std::vector<Token> tokens;  ///< without the one that ended it; before a stop string, those that are wholly before it
  std::string text;           ///< the answer
  std::string reasoning;      ///< what the model thought before it; "" for most
  Finish finish = Finish::Length;
  double log_probability = 0;              ///< of all that was drawn, the end included, under the model as it is
  std::size_t log_probability_tokens = 0;  ///< how many that were
  double entropy = 0;                      ///< sum over them of the entropies of the model's distributions
  double divergence = 0;                   ///< sum over them of how far guidance by a tilt has moved these, in nats
  std::optional<double> score;             ///< by the head; absent without one, and for a reply without tokens
  std::uint64_t guided_steps = 0;          ///< tokens that were chosen with the head's opinion
  std::vector<DrawnToken> trace;           ///< all that was drawn, when asked for
};

/// Whether a reply is outside of what the model can write, so that no judge's opinion of it counts: guidance has moved
/// the model by more than kMostDivergence of its entropy, the tokens are more surprising to the model than it expects
/// by more than chance explains, or the text repeats itself. A judge that looks at words may like gibberish best, and
/// so does the head that brought it about (docs/guidance.md, Beyond the model).
bool is_outside(const Reply& reply);
inline constexpr double kMostDivergence = 0.3;

/// Place of the highest score; the first of several. None is below all others.
std::size_t highest_score(std::span<const std::optional<double>> scores);

/// Number of the candidate with the highest score, as above, of those that are not outside of what the model can write;
/// of all when all are.
std::size_t best_of(std::span<const Reply> replies);

}  // namespace coala
