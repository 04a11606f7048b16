#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/estimate.h"
#include "tally/win_rates.h"

namespace coala {

/// What a judge said of two replies to a prompt, those of two sources: the first is the one that is asked about.
struct JudgedPair {
  std::string judge;
  std::string pair;                       ///< the same for all judges of the same two replies
  std::string prompt;                     ///< the same for the same prompt
  std::array<std::int64_t, 2> lengths{};  ///< characters
  /// Preference for the first source, 0 to 1, when its reply was shown first and when it was shown second.
  std::array<std::optional<double>, 2> games{};
  /// Judges that mark replies one by one: the marks; `games` is then empty.
  std::array<std::optional<double>, 2> marks{};
  /// The preferences of `games` by the probabilities that the judge gave to its verdicts.
  std::array<std::optional<double>, 2> weighted{};
  /// Judges that say one thing of a pair, without places: the preference; `games` and `marks` are then empty.
  std::optional<double> said{};
  int turn = 1;             ///< of the conversation: how many messages of the user the replies stand behind
  std::size_t refused = 0;  ///< questions about this pair that the server would not answer
};

/// What a pair is called by people who judge it.
struct PairName {
  std::string id;         ///< of the first source's line
  std::size_t index = 0;  ///< among the replies to its prompt, from 0
  std::string pair, prompt;
  std::array<std::int64_t, 2> lengths{};
  int turn = 1;
};

/// The rate of the pairs that stand behind so many messages of the user.
struct TurnRate {
  int turn = 1;
  std::size_t pairs = 0;
  Estimate rate;  ///< ties half
};

/// A judge's comparison of two sources. A pair counts once, with the mean of its two games, and only if both have a
/// verdict: one order alone would carry the judge's liking for a place into the rate.
struct JudgedSources {
  std::string judge;
  std::size_t pairs = 0, left_out = 0;
  std::size_t refused = 0;  ///< questions that the server would not answer
  /// Whether a pair has a verdict. Without one there are no figures: the following are then not to be read.
  bool has_verdicts() const { return pairs > left_out; }

  WinRates wins;  ///< of the first source
  /// Mean preference by the probabilities of the verdicts (as AlpacaEval 2 has it, Dubois et al. 2024, arXiv
  /// 2404.04475, section 2.1); nothing unless all games of these pairs have them.
  std::optional<Estimate> weighted;
  std::vector<TurnRate> turns;  ///< where conversations differ in the number of turns
  /// A logistic model of winning on tanh(length difference / its root mean square), at zero, and its slope.
  Estimate at_equal_lengths, length_slope;
  Estimate longer_wins;                       ///< share of decided pairs of different lengths; NaN without one
  std::optional<Estimate> first_wins;         ///< share of games won by the place in front; 1/2: no liking for a place
  std::optional<double> same_in_both_orders;  ///< share of pairs
  std::optional<std::array<Estimate, 2>> marks;
  std::optional<Estimate> mark_difference;  ///< first less second
};

struct JudgesAgreement {
  std::string first, second;
  std::size_t pairs = 0;  ///< that both have judged
  Estimate kappa;         ///< Cohen's, of better, tie, worse
};

struct ComparisonTable {
  std::vector<JudgedSources> judges;  ///< in the order of their first pair
  std::vector<JudgesAgreement> agreements;
  std::optional<Estimate> alpha;  ///< Krippendorff's, nominal, of all judges, where there are several
};

/// A judge without a verdict has its counts alone.
ComparisonTable compare_sources(std::span<const JudgedPair> pairs, std::uint64_t seed);

}  // namespace coala
