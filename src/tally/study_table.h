#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/estimate.h"

namespace coala {

constexpr int kNoDifference = -1;

/// What a rater said of the replies of all sources to one prompt.
struct StudyAnswer {
  std::int64_t comparison = 0;  ///< the same for all raters of the same replies
  std::int64_t prompt = 0;      ///< the same for comparisons of the same prompt
  std::vector<int> places;      ///< [sources], whose reply stood at the first place, at the second, ...
  int choice = kNoDifference;   ///< source
  double seconds = 0;           ///< that the comparison was before the rater's eyes
  double characters = 0;        ///< of prompt and replies
};

/// A rater with what is counted of them: attention checks are not among the answers.
struct StudyRater {
  std::string name;
  std::vector<StudyAnswer> answers;
};

/// How often a source was chosen, of all answers.
struct StudyShare {
  std::uint64_t chosen = 0;
  double share = 0;
  Interval wald95, wilson95;  ///< of independent answers, as papers publish the one
  Interval clustered95;       ///< Wilson's, answers of one prompt and of one rater depending on each other
};

/// How a rater answered.
struct RaterSummary {
  std::string name;
  std::size_t answers = 0;
  Estimate kappa;  ///< Cohen's, with each other rater of the same comparisons, pooled; NaN without any
  double median_seconds = 0;
  double characters_per_second = 0;
  bool implausibly_fast = false;
};

/// Answers that it takes to tell the shares of two sources apart.
struct StudyPower {
  std::size_t first = 0, second = 0;  ///< the two sources that were chosen most
  double shares = 0;                  ///< of both together, as seen
  double design_effect = 1;           ///< variance of their difference over that of independent answers, at least 1
  std::uint64_t independent = 0;      ///< answers, if they did not depend on each other
  std::uint64_t answers = 0;          ///< times the design effect; 0: not known
};

/// What was chosen how often.
struct StudyShares {
  std::uint64_t count = 0;            ///< answers
  std::vector<StudyShare> shares;     ///< [sources + 1], "no difference" at the end
  std::vector<Estimate> differences;  ///< [sources - 1], of the first source's share and each other's
  std::optional<Estimate> win_rate;   ///< of the first of two sources, "no difference" counting half
};

struct StudyTable {
  StudyShares answers;
  Estimate alpha;                    ///< Krippendorff's, nominal; NaN where no comparison has several answers
  std::size_t rated_by_several = 0;  ///< comparisons
  Estimate first_place;              ///< share of choices of a reply that took the one in front
  double median_seconds = 0;         ///< of a comparison
  std::vector<RaterSummary> raters;
  StudyPower power;
};

constexpr double kPointsApart = 0.05;  ///< of StudyPower

/// Who reads faster than this has not read: three times the 238 words a minute of adults (Brysbaert 2019, Journal of
/// Memory and Language 109), at six characters a word.
constexpr double kFastestReading = 3 * 238.0 * 6 / 60;

/// @throws Error{BadInput} without an answer
StudyShares study_shares(std::span<const StudyRater> raters, std::size_t sources);

/// Adds a study up. Intervals of agreement are bootstraps over prompts, the others clustered by prompt and rater.
/// @throws Error{BadInput} without an answer
StudyTable study_table(std::span<const StudyRater> raters, std::size_t sources, std::uint64_t seed);

/// Answers that tell the shares of two sources apart, two-sided at 5 % with a power of 80 %, by the test of McNemar:
/// n = (z_0.975 sqrt(s) + z_0.8 sqrt(s - d^2))^2 / d^2 (Connor 1987, Biometrics 43).
/// @param shares      s, of both together, at least `difference`
/// @param difference  d, of their shares, above 0
std::uint64_t answers_to_tell(double shares, double difference);

}  // namespace coala
