// A human study: figures against planted truths, published ones and figures by hand; what its page gives away.
#include "study/study.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "core/random.h"
#include "eval/intervals.h"
#include "study/attention.h"
#include "support.h"
#include "tally/study_table.h"

namespace coala {
namespace {

using test::error_code_of;

constexpr std::size_t kSources = 3;

/// Raters who each answer some of the prompts, drawn at random. What they like is the sum of what is so of a source, of
/// its reply to a prompt, and of a rater's taste.
struct Population {
  std::array<double, kSources + 1> merit{0.6, 0, -0.2, -1};  ///< log-odds; the last is "no difference"
  double by_prompt = 0, by_rater = 0;                        ///< standard deviations
  std::size_t prompts = 40, raters = 40, each = 20;

  std::array<double, kSources + 1> effects(double deviation, Random& random) const {
    std::array<double, kSources + 1> result{};
    for (double& effect : result) effect = deviation * random.normal();
    return result;
  }

  /// A category, drawn.
  std::size_t draw(const std::array<double, kSources + 1>& a, const std::array<double, kSources + 1>& b,
                   Random& random) const {
    std::array<double, kSources + 1> weight{};
    for (std::size_t k = 0; k < weight.size(); ++k) weight[k] = std::exp(merit[k] + a[k] + b[k]);
    double at = random.uniform() * std::accumulate(weight.begin(), weight.end(), 0.0);
    std::size_t k = 0;
    while (k + 1 < weight.size() && at >= weight[k]) at -= weight[k++];
    return k;
  }

  /// Shares among all raters and prompts that there might be.
  std::array<double, kSources + 1> truth(Random& random) const {
    constexpr int kDraws = 1'000'000;
    std::array<double, kSources + 1> share{};
    for (int i = 0; i < kDraws; ++i) {
      share[draw(effects(by_prompt, random), effects(by_rater, random), random)] += 1.0 / kDraws;
    }
    return share;
  }

  std::vector<StudyRater> study(Random& random) const {
    std::vector<std::array<double, kSources + 1>> of_prompts;
    for (std::size_t p = 0; p < prompts; ++p) of_prompts.push_back(effects(by_prompt, random));
    std::vector<StudyRater> result;
    for (std::size_t r = 0; r < raters; ++r) {
      result.push_back({std::to_string(r), {}});
      const auto taste = effects(by_rater, random);
      std::vector<std::size_t> drawn(prompts);
      std::iota(drawn.begin(), drawn.end(), std::size_t{0});
      for (std::size_t k = 0; k < each; ++k) {
        std::swap(drawn[k], drawn[k + random.below(prompts - k)]);
        const std::size_t said = draw(of_prompts[drawn[k]], taste, random);
        StudyAnswer answer;
        answer.comparison = answer.prompt = static_cast<std::int64_t>(drawn[k]);
        answer.places = {0, 1, 2};
        answer.choice = said == kSources ? kNoDifference : static_cast<int>(said);
        result.back().answers.push_back(answer);
      }
    }
    return result;
  }
};

/// How many of a thousand intervals hold the truth: of each share by Wald, Wilson and clustered, and of the difference
/// of the first two sources.
struct Held {
  std::array<std::array<int, 3>, kSources + 1> shares{};
  int difference = 0;
};

bool holds(const Interval& interval, double truth) {
  return interval.low <= truth && truth <= interval.high;
}

constexpr int kSimulations = 1000;

Held held_by(const Population& population) {
  Random random(7);
  const auto truth = population.truth(random);
  Held held;
  for (int i = 0; i < kSimulations; ++i) {
    const StudyShares table = study_shares(population.study(random), kSources);
    for (std::size_t k = 0; k <= kSources; ++k) {
      held.shares[k][0] += holds(table.shares[k].wald95, truth[k]);
      held.shares[k][1] += holds(table.shares[k].wilson95, truth[k]);
      held.shares[k][2] += holds(table.shares[k].clustered95, truth[k]);
    }
    held.difference += holds(table.differences[0].ci95, truth[0] - truth[1]);
  }
  return held;
}

void expect_nominal(int held, const std::string& what) {
  EXPECT_GE(held, 0.93 * kSimulations) << what;
  EXPECT_LE(held, 0.97 * kSimulations) << what;
}

TEST(StudyShares, IntervalsOfIndependentAnswersHoldTheTruth) {
  const Held held = held_by({});
  for (std::size_t k = 0; k <= kSources; ++k) {
    for (std::size_t kind = 0; kind < 2; ++kind) {
      expect_nominal(held.shares[k][kind], "share " + std::to_string(k) + ", interval " + std::to_string(kind));
    }
    // Never shorter than for independent answers, so they hold the truth a little more often.
    EXPECT_GE(held.shares[k][2], 0.93 * kSimulations) << "share " << k;
    EXPECT_LE(held.shares[k][2], 0.98 * kSimulations) << "share " << k;
  }
  expect_nominal(held.difference, "difference");
}

TEST(StudyShares, ClusteredIntervalsHoldTheTruthWhereAnswersDependOnEachOther) {
  Population population;
  population.by_prompt = 0.7;
  population.by_rater = 0.5;
  const Held held = held_by(population);
  for (std::size_t k = 0; k <= kSources; ++k) {
    expect_nominal(held.shares[k][2], "share " + std::to_string(k));
    EXPECT_LT(held.shares[k][1], 0.9 * kSimulations) << "Wilson's takes answers for independent, share " << k;
  }
  expect_nominal(held.difference, "difference");
}

TEST(StudyShares, OfThePaper) {
  // arXiv 2605.23244: 39.1 +- 9.2 and 28.8 +- 8.6 % of 107 choices. No count of 107 gives exactly these shares.
  std::vector<StudyRater> raters;
  const std::array<int, 4> chosen{42, 31, 17, 17};
  for (int source = 0; source < 4; ++source) {
    for (int i = 0; i < chosen[static_cast<std::size_t>(source)]; ++i) {
      const auto number = static_cast<std::int64_t>(raters.size());
      raters.push_back({std::to_string(number), {{number, number, {0, 1, 2, 3}, source, 5, 100}}});
    }
  }
  const StudyTable table = study_table(raters, 4, 0);
  const auto half = [&](std::size_t source) {
    return 50 * (table.answers.shares[source].wald95.high - table.answers.shares[source].wald95.low);
  };
  EXPECT_NEAR(100 * table.answers.shares[0].share, 39.1, 0.5);
  EXPECT_NEAR(half(0), 9.2, 0.06);
  EXPECT_NEAR(100 * table.answers.shares[1].share, 28.8, 0.5);
  EXPECT_NEAR(half(1), 8.6, 0.06);
  // An answer each, and each of another prompt: nothing depends on anything.
  EXPECT_NEAR(table.answers.shares[0].clustered95.low, table.answers.shares[0].wilson95.low, 0.003);
  EXPECT_NEAR(table.power.design_effect, 1, 0.02);
  EXPECT_TRUE(std::isnan(table.alpha.value));
  EXPECT_FALSE(table.answers.win_rate);
}

TEST(StudyPower, IsWhatSimulationsHave) {
  // Of two sources that share all answers and 52.5 of 100 of them: 3,138 by hand, from the formula.
  EXPECT_EQ(answers_to_tell(1, 0.05), 3138u);
  Random random(3);
  for (const double together : {1.0, 0.679, 0.3}) {
    const std::uint64_t n = answers_to_tell(together, 0.05);
    constexpr int kStudies = 2000;
    int told = 0;
    for (int study = 0; study < kStudies; ++study) {
      double first = 0;
      double second = 0;
      for (std::uint64_t i = 0; i < n; ++i) {
        const double at = random.uniform();
        if (at < together / 2 + 0.025) {
          first += 1;
        } else if (at < together) {
          second += 1;
        }
      }
      told += std::abs(first - second) > 1.959964 * std::sqrt(first + second) ? 1 : 0;
    }
    EXPECT_NEAR(told, 0.8 * kStudies, 3 * std::sqrt(0.16 * kStudies)) << together;  // three standard errors
  }
}

/// Answers of a rater to comparisons 0, 1, ... of two sources, in the same places.
StudyRater rater(const std::string& name, const std::vector<int>& choices, double seconds) {
  StudyRater result{name, {}};
  for (std::size_t i = 0; i < choices.size(); ++i) {
    const auto number = static_cast<std::int64_t>(i);
    result.answers.push_back({number, number, {1, 0}, choices[i], seconds, 700});
  }
  return result;
}

TEST(StudyTable, ByHand) {
  const std::vector<StudyRater> raters{rater("a", {0, 0, 1, 0, -1, 1}, 12), rater("b", {0, 0, 1, 1, -1, 1}, 10),
                                       rater("c", {0, 0, 1, 0, -1, 0}, 9)};
  const StudyTable table = study_table(raters, 2, 0);
  EXPECT_EQ(table.answers.shares[0].chosen, 9u);
  EXPECT_EQ(table.answers.shares[1].chosen, 6u);
  EXPECT_EQ(table.answers.shares[2].chosen, 3u);
  EXPECT_NEAR(table.answers.win_rate->value, 10.5 / 18, 1e-15);
  EXPECT_NEAR(table.answers.differences[0].value, 3.0 / 18, 1e-15);
  EXPECT_NEAR(table.first_place.value, 6.0 / 15, 1e-15);  // the second source's reply is in front
  EXPECT_EQ(table.rated_by_several, 6u);
  // Krippendorff: coincidences observed to differ 2 units x 2 of 6 pairs, weighted 1/2 each: 4; expected of 9, 6, 3:
  // (2 (54 + 27 + 18)) / 17 = 198 / 17.
  EXPECT_NEAR(table.alpha.value, 1 - 4.0 / (198.0 / 17), 1e-12);
  // Rater a with b and c: 10 of 12 agree; a says 0 6, 1 4, none 2 times, the others 5 + ... = 6, 4, 2.
  EXPECT_NEAR(table.raters[0].kappa.value, (10.0 / 12 - 56.0 / 144) / (1 - 56.0 / 144), 1e-12);
  EXPECT_EQ(table.median_seconds, 10);
  EXPECT_EQ(table.power.first, 0u);
  EXPECT_NEAR(table.power.shares, 15.0 / 18, 1e-15);
}

TEST(StudyTable, WhoCannotHaveReadIsSaid) {
  // 700 characters in 9 s are 78 a second, more than 71.4; in 10 s they are 70.
  const StudyTable table = study_table(std::vector{rater("slow", {0, 1}, 10), rater("fast", {0, 1}, 9)}, 2, 0);
  EXPECT_FALSE(table.raters[0].implausibly_fast);
  EXPECT_TRUE(table.raters[1].implausibly_fast);
  EXPECT_NEAR(table.raters[1].characters_per_second, 700.0 / 9, 1e-12);
}

TEST(StudyTable, OneRaterSaysNothingOfOthers) {
  const StudyTable table = study_table(std::vector{rater("a", {0, 0, 1, 0}, 10)}, 2, 0);
  EXPECT_EQ(table.answers.shares[0].clustered95.low, 0);
  EXPECT_EQ(table.answers.shares[0].clustered95.high, 1);
  EXPECT_EQ(table.power.answers, 0u);
  EXPECT_EQ(error_code_of([] { study_table({}, 2, 0); }), ErrorCode::BadInput);
}

std::vector<ReplyRow> rows(std::size_t count) {
  std::vector<ReplyRow> result;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    result.push_back({number, "prompt " + number, {"one says " + number, "other says " + number}, 0});
  }
  return result;
}

StudySettings settings(std::uint64_t seed) {
  return {{"guided-source", "plain-source"}, "title", "question", "consent", 5, 2, seed};
}

TEST(Study, ThePageDoesNotSayWhoseATextIs) {
  const Study study = make_study(rows(200), settings(1));
  EXPECT_EQ(study.page.find("guided-source"), std::string::npos);
  EXPECT_EQ(study.page.find("plain-source"), std::string::npos);
  std::size_t in_front = 0;
  std::size_t smaller = 0;
  for (const auto& [id, comparison] : study.key.comparisons) {
    std::array<std::size_t, 2> place{};
    std::array<std::string, 2> text;
    for (const auto& [name, source] : comparison.sources) {
      place[static_cast<std::size_t>(source)] = study.page.find(name);
      text[static_cast<std::size_t>(source)] = name;
    }
    in_front += place[0] < place[1] ? 1 : 0;
    smaller += text[0] < text[1] ? 1 : 0;
  }
  // 100 of 200 by chance, standard deviation 7.
  EXPECT_NEAR(static_cast<double>(in_front), 100, 28);
  EXPECT_NEAR(static_cast<double>(smaller), 100, 28);
}

TEST(Study, TheSameSeedMakesTheSamePage) {
  const Study study = make_study(rows(9), settings(1));
  EXPECT_EQ(make_study(rows(9), settings(1)).page, study.page);
  EXPECT_NE(make_study(rows(9), settings(2)).key.study, study.key.study);
}

TEST(Study, WhatAllReplyTheSameIsNotAsked) {
  std::vector<ReplyRow> some = rows(3);
  some[1].replies[1] = some[1].replies[0];
  const Study study = make_study(some, settings(1));
  EXPECT_EQ(study.key.all_equal, 1u);
  EXPECT_EQ(study.key.comparisons.size(), 2u);
  EXPECT_EQ(study.key.per_rater, 2u);
  EXPECT_EQ(study.page.find("says 1"), std::string::npos);
  some = rows(1);
  some[0].replies[1] = some[0].replies[0];
  EXPECT_EQ(error_code_of([&] { make_study(some, settings(1)); }), ErrorCode::BadInput);
}

TEST(AttentionChecks, NameOneReplyEach) {
  Random random(1);
  std::set<std::string> prompts;
  for (const AttentionCheck& check : attention_checks(kMostAttentionChecks, 5, random)) {
    prompts.insert(check.prompt);
    const std::set<std::string> replies(check.replies.begin(), check.replies.end());
    EXPECT_EQ(replies.size(), 5u);
    const std::size_t at = check.prompt.find("speaks of ") + std::string("speaks of ").size();
    const std::string name = check.prompt.substr(at, check.prompt.find(',', at) - at);
    const std::string noun = name.substr(name.find(' ') + 1);
    for (std::size_t k = 0; k < check.replies.size(); ++k) {
      EXPECT_EQ(check.replies[k].find("The " + noun) == 0, k == 0) << check.prompt << check.replies[k];
    }
  }
  EXPECT_EQ(prompts.size(), kMostAttentionChecks);
}

}  // namespace
}  // namespace coala
