#include "tally/pair_judgments.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "eval/intervals.h"
#include "eval/length_control.h"
#include "eval/order_statistics.h"
#include "tally/agreement.h"
#include "tally/annotations.h"

namespace coala {
namespace {

std::optional<double> preference_of(const JudgedPair& pair) {
  if (pair.said) return pair.said;
  if (pair.marks[0] && pair.marks[1]) return *pair.marks[0] == *pair.marks[1] ? 0.5 : *pair.marks[0] > *pair.marks[1];
  if (pair.games[0] && pair.games[1]) return (*pair.games[0] + *pair.games[1]) / 2;
  return std::nullopt;
}

/// The pairs with a verdict, column by column.
struct Columns {
  std::vector<double> preference;
  std::vector<double> longer;  ///< by so many characters
  std::vector<std::string> prompts;
  std::vector<const JudgedPair*> pairs;
};

void add_length_bias(const Columns& columns, std::span<const std::int64_t> prompts, JudgedSources& result) {
  std::vector<double> squashed = columns.longer;
  double squares = 0;
  for (const double value : squashed) squares += value * value;
  const double deviation = std::sqrt(squares / static_cast<double>(squashed.size()));
  std::vector<double> longer_won;
  std::vector<std::int64_t> of_prompts;
  for (std::size_t i = 0; i < squashed.size(); ++i) {
    if (squashed[i] != 0 && columns.preference[i] != 0.5) {
      longer_won.push_back((squashed[i] > 0) == (columns.preference[i] > 0.5) ? 1 : 0);
      of_prompts.push_back(prompts[i]);
    }
    squashed[i] = deviation > 0 ? std::tanh(squashed[i] / deviation) : 0;
  }
  const LengthControlled controlled = length_controlled_accuracy(columns.preference, squashed, prompts);
  result.at_equal_lengths = {controlled.accuracy, controlled.ci95};
  result.length_slope = {controlled.slope, controlled.slope_ci95};
  if (longer_won.empty()) {
    result.longer_wins = {std::numeric_limits<double>::quiet_NaN(), kNoInterval};
    return;
  }
  result.longer_wins = {mean_with_error(longer_won).mean, proportion_interval(longer_won, of_prompts)};
}

void add_position_bias(const Columns& columns, JudgedSources& result) {
  std::vector<double> first_won;
  std::vector<std::string> prompts;
  double same = 0;
  for (const JudgedPair* pair : columns.pairs) {
    if (!pair->games[0] || !pair->games[1]) continue;
    first_won.push_back(*pair->games[0]);
    first_won.push_back(1 - *pair->games[1]);
    prompts.insert(prompts.end(), 2, pair->prompt);
    same += *pair->games[0] == *pair->games[1] ? 1 : 0;
  }
  if (first_won.empty()) return;
  result.first_wins = {mean_with_error(first_won).mean, proportion_interval(first_won, numbered(prompts))};
  result.same_in_both_orders = same / (static_cast<double>(first_won.size()) / 2);
}

void add_marks(const Columns& columns, std::span<const std::int64_t> prompts, std::uint64_t seed,
               JudgedSources& result) {
  std::array<std::vector<double>, 2> marks;
  std::vector<double> differences;
  for (const JudgedPair* pair : columns.pairs) {
    if (!pair->marks[0] || !pair->marks[1]) return;
    for (std::size_t k = 0; k < 2; ++k) marks[k].push_back(*pair->marks[k]);
    differences.push_back(*pair->marks[0] - *pair->marks[1]);
  }
  const auto estimate = [&](std::span<const double> values) {
    return Estimate{mean_with_error(values).mean, bootstrap_mean(values, prompts, seed)};
  };
  result.marks = {estimate(marks[0]), estimate(marks[1])};
  result.mark_difference = estimate(differences);
}

void add_weighted(const Columns& columns, std::span<const std::int64_t> prompts, JudgedSources& result) {
  std::vector<double> preferences;
  for (const JudgedPair* pair : columns.pairs) {
    if (!pair->weighted[0] || !pair->weighted[1]) return;
    preferences.push_back((*pair->weighted[0] + *pair->weighted[1]) / 2);
  }
  result.weighted = {mean_with_error(preferences).mean, rate_interval(preferences, prompts)};
}

void add_turns(const Columns& columns, JudgedSources& result) {
  std::map<int, Columns> by_turn;
  for (std::size_t i = 0; i < columns.pairs.size(); ++i) {
    Columns& of = by_turn[columns.pairs[i]->turn];
    of.preference.push_back(columns.preference[i]);
    of.prompts.push_back(columns.prompts[i]);
  }
  if (by_turn.size() < 2) return;
  for (const auto& [turn, of] : by_turn) {
    const Interval interval = rate_interval(of.preference, numbered(of.prompts));
    result.turns.push_back({turn, of.preference.size(), {mean_with_error(of.preference).mean, interval}});
  }
}

JudgedSources compare(const std::string& judge, std::span<const JudgedPair* const> pairs, std::uint64_t seed) {
  JudgedSources result;
  result.judge = judge;
  result.pairs = pairs.size();
  Columns columns;
  for (const JudgedPair* pair : pairs) {
    result.refused += pair->refused;
    const std::optional<double> preference = preference_of(*pair);
    if (!preference) {
      ++result.left_out;
      continue;
    }
    columns.preference.push_back(*preference);
    columns.longer.push_back(static_cast<double>(pair->lengths[0] - pair->lengths[1]));
    columns.prompts.push_back(pair->prompt);
    columns.pairs.push_back(pair);
  }
  if (columns.pairs.empty()) return result;
  const std::vector<std::int64_t> prompts = numbered(columns.prompts);
  result.wins = win_rates(columns.preference, prompts);
  add_length_bias(columns, prompts, result);
  add_position_bias(columns, result);
  add_marks(columns, prompts, seed, result);
  add_weighted(columns, prompts, result);
  add_turns(columns, result);
  return result;
}

/// Better, tie or worse of each pair by each judge.
Ratings ratings_of(std::span<const JudgedPair> pairs, const std::vector<std::string>& judges) {
  std::map<std::string, std::size_t> units;
  std::vector<std::string> prompts;
  Ratings ratings;
  ratings.categories = 3;
  for (const JudgedPair& pair : pairs) {
    const auto [unit, is_new] = units.emplace(pair.pair, units.size());
    if (is_new) {
      ratings.units.emplace_back(judges.size(), -1);
      prompts.push_back(pair.prompt);
    }
    const std::optional<double> preference = preference_of(pair);
    if (!preference) continue;
    const auto judge = static_cast<std::size_t>(std::ranges::find(judges, pair.judge) - judges.begin());
    ratings.units[unit->second][judge] = *preference > 0.5 ? 2 : *preference == 0.5 ? 1 : 0;
  }
  ratings.prompts = numbered(prompts);
  return ratings;
}

}  // namespace

ComparisonTable compare_sources(std::span<const JudgedPair> pairs, std::uint64_t seed) {
  std::vector<std::string> judges;
  std::map<std::string, std::vector<const JudgedPair*>> of_judge;
  for (const JudgedPair& pair : pairs) {
    std::vector<const JudgedPair*>& list = of_judge[pair.judge];
    if (list.empty()) judges.push_back(pair.judge);
    list.push_back(&pair);
  }
  ComparisonTable table;
  for (const std::string& judge : judges) table.judges.push_back(compare(judge, of_judge[judge], seed));
  if (judges.size() < 2) return table;
  const Ratings ratings = ratings_of(pairs, judges);
  for (std::size_t a = 0; a < judges.size(); ++a) {
    for (std::size_t b = a + 1; b < judges.size(); ++b) {
      JudgesAgreement agreement{judges[a], judges[b], 0, cohen_kappa(ratings, a, b, seed)};
      for (const std::vector<int>& unit : ratings.units) agreement.pairs += unit[a] >= 0 && unit[b] >= 0 ? 1 : 0;
      table.agreements.push_back(std::move(agreement));
    }
  }
  table.alpha = krippendorff_alpha(ratings, CategoryDistance::Nominal, seed);
  return table;
}

}  // namespace coala
