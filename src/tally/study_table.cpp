#include "tally/study_table.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/error.h"
#include "eval/intervals.h"
#include "eval/order_statistics.h"
#include "tally/agreement.h"

namespace coala {
namespace {

/// All answers, one after the other, with who gave them.
struct Answers {
  std::vector<const StudyAnswer*> list;
  std::vector<std::int64_t> prompts, raters;

  explicit Answers(std::span<const StudyRater> all) {
    for (std::size_t r = 0; r < all.size(); ++r) {
      for (const StudyAnswer& answer : all[r].answers) {
        list.push_back(&answer);
        prompts.push_back(answer.prompt);
        raters.push_back(static_cast<std::int64_t>(r));
      }
    }
  }

  /// A number of each answer.
  template <class Function>
  std::vector<double> values(Function&& function) const {
    std::vector<double> result;
    for (const StudyAnswer* answer : list) result.push_back(function(*answer));
    return result;
  }

  /// Of values from `low` to `high`, whose ends an interval keeps to; where all are alike it is no point.
  Estimate mean(std::span<const double> values, double low, double high) const {
    std::vector<double> shares;
    for (const double value : values) shares.push_back((value - low) / (high - low));
    const Interval share = two_way_rate(shares, prompts, raters);
    return {mean_with_error(values).mean, {low + share.low * (high - low), low + share.high * (high - low)}};
  }
};

StudyShare share_of(const Answers& answers, int choice) {
  const std::vector<double> chosen =
      answers.values([choice](const StudyAnswer& answer) { return answer.choice == choice ? 1.0 : 0.0; });
  const double count = std::accumulate(chosen.begin(), chosen.end(), 0.0);
  const auto n = static_cast<double>(chosen.size());
  return {static_cast<std::uint64_t>(count), count / n, wald_interval(count, n), wilson_interval(count, n),
          two_way_proportion(chosen, answers.prompts, answers.raters)};
}

/// 1 for the one source, -1 for the other.
std::vector<double> signs(const Answers& answers, int one, int other) {
  return answers.values([one, other](const StudyAnswer& answer) {
    return answer.choice == one ? 1.0 : answer.choice == other ? -1.0 : 0.0;
  });
}

/// How often the reply in front is chosen, of choices of a reply.
Estimate first_place(const Answers& answers) {
  std::vector<double> in_front;
  std::vector<std::int64_t> prompts;
  std::vector<std::int64_t> raters;
  for (std::size_t i = 0; i < answers.list.size(); ++i) {
    const StudyAnswer& answer = *answers.list[i];
    if (answer.choice == kNoDifference) continue;
    in_front.push_back(answer.places.front() == answer.choice ? 1.0 : 0.0);
    prompts.push_back(answers.prompts[i]);
    raters.push_back(answers.raters[i]);
  }
  const double nothing = std::nan("");
  if (in_front.empty()) return {nothing, {nothing, nothing}};
  return {mean_with_error(in_front).mean, two_way_proportion(in_front, prompts, raters)};
}

/// Categories as Ratings has them: sources, then "no difference".
int category(const StudyAnswer& answer, std::size_t sources) {
  return answer.choice == kNoDifference ? static_cast<int>(sources) : answer.choice;
}

/// Who answered a comparison, and what.
using ByComparison = std::map<std::int64_t, std::vector<std::pair<std::size_t, const StudyAnswer*>>>;

ByComparison by_comparison(std::span<const StudyRater> raters) {
  ByComparison result;
  for (std::size_t r = 0; r < raters.size(); ++r) {
    for (const StudyAnswer& answer : raters[r].answers) result[answer.comparison].emplace_back(r, &answer);
  }
  return result;
}

void agree(std::span<const StudyRater> raters, std::size_t sources, std::uint64_t seed, StudyTable& table) {
  const ByComparison comparisons = by_comparison(raters);
  Ratings all;
  all.categories = static_cast<int>(sources) + 1;
  for (const auto& [comparison, given] : comparisons) {
    if (given.size() < 2) continue;
    all.units.emplace_back();
    for (const auto& [rater, answer] : given) all.units.back().push_back(category(*answer, sources));
    all.prompts.push_back(given.front().second->prompt);
  }
  table.rated_by_several = all.units.size();
  table.alpha = krippendorff_alpha(all, CategoryDistance::Nominal, seed);
  for (std::size_t r = 0; r < raters.size(); ++r) {
    Ratings pairs;  // this rater's answer, and another's to the same comparison
    pairs.categories = all.categories;
    for (const StudyAnswer& answer : raters[r].answers) {
      for (const auto& [rater, other] : comparisons.at(answer.comparison)) {
        if (rater == r) continue;
        pairs.units.push_back({category(answer, sources), category(*other, sources)});
        pairs.prompts.push_back(answer.prompt);
      }
    }
    table.raters[r].kappa = cohen_kappa(pairs, 0, 1, seed);
  }
}

RaterSummary summary_of(const StudyRater& rater) {
  RaterSummary summary;
  summary.name = rater.name;
  summary.answers = rater.answers.size();
  if (rater.answers.empty()) return summary;
  std::vector<double> seconds;
  double characters = 0;
  for (const StudyAnswer& answer : rater.answers) {
    seconds.push_back(answer.seconds);
    characters += answer.characters;
  }
  const double all_seconds = std::accumulate(seconds.begin(), seconds.end(), 0.0);
  summary.median_seconds = quantile(seconds, 0.5);
  summary.characters_per_second = all_seconds > 0 ? characters / all_seconds : 0;
  summary.implausibly_fast = characters > kFastestReading * all_seconds;
  return summary;
}

StudyPower power_of(const Answers& answers, std::span<const StudyShare> shares) {
  std::vector<std::size_t> order(shares.size() - 1);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return shares[a].chosen > shares[b].chosen; });
  StudyPower power;
  power.first = order[0];
  power.second = order[1];
  power.shares = shares[power.first].share + shares[power.second].share;
  power.independent = answers_to_tell(std::max(power.shares, kPointsApart), kPointsApart);
  const std::vector<double> difference = signs(answers, static_cast<int>(power.first), static_cast<int>(power.second));
  const double error = mean_with_error(difference).standard_error;
  const double variance = two_way_variance(difference, answers.prompts, answers.raters);
  power.design_effect = error > 0 ? std::max(1.0, variance / (error * error)) : std::nan("");
  if (std::isfinite(power.design_effect)) {
    power.answers = static_cast<std::uint64_t>(std::ceil(static_cast<double>(power.independent) * power.design_effect));
  }
  return power;
}

}  // namespace

StudyShares study_shares(std::span<const StudyRater> raters, std::size_t sources) {
  const Answers answers(raters);
  if (answers.list.empty()) throw Error(ErrorCode::BadInput, "there is no answer to add up");
  StudyShares result;
  result.count = answers.list.size();
  for (std::size_t s = 0; s < sources; ++s) result.shares.push_back(share_of(answers, static_cast<int>(s)));
  result.shares.push_back(share_of(answers, kNoDifference));
  for (std::size_t s = 1; s < sources; ++s) {
    result.differences.push_back(answers.mean(signs(answers, 0, static_cast<int>(s)), -1, 1));
  }
  if (sources == 2) {
    const std::vector<double> wins = answers.values([](const StudyAnswer& answer) {
      return answer.choice == kNoDifference ? 0.5 : answer.choice == 0 ? 1.0 : 0.0;
    });
    result.win_rate = answers.mean(wins, 0, 1);
  }
  return result;
}

StudyTable study_table(std::span<const StudyRater> raters, std::size_t sources, std::uint64_t seed) {
  StudyTable table;
  table.answers = study_shares(raters, sources);
  const Answers answers(raters);
  table.first_place = first_place(answers);
  table.median_seconds = quantile(answers.values([](const StudyAnswer& answer) { return answer.seconds; }), 0.5);
  for (const StudyRater& rater : raters) table.raters.push_back(summary_of(rater));
  agree(raters, sources, seed, table);
  table.power = power_of(answers, table.answers.shares);
  return table;
}

std::uint64_t answers_to_tell(double shares, double difference) {
  constexpr double kSignificance = 1.959963984540054;  // the normal distribution's 97.5 % quantile
  constexpr double kPower = 0.8416212335729143;        // its 80 % quantile
  const double root =
      kSignificance * std::sqrt(shares) + kPower * std::sqrt(std::max(0.0, shares - difference * difference));
  return static_cast<std::uint64_t>(std::ceil(root * root / (difference * difference)));
}

}  // namespace coala
