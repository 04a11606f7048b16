#include "lm/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "core/random.h"
#include "lm/backbone.h"
#include "lm/token_odds.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(std::size_t count, std::uint64_t seed, double spread = 3) {
  Random random(seed);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = static_cast<float>(spread * random.normal());
  return logits;
}

/// Probabilities by the definition, in double and by full sorting: penalty, top-k, top-p, min-p, temperature.
std::map<Token, double> expected_probabilities(std::vector<float> logits, const SamplerOptions& options,
                                               const std::set<Token>& penalised = {}) {
  for (const Token token : penalised) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = static_cast<float>(logit <= 0 ? logit * options.repeat_penalty : logit / options.repeat_penalty);
  }
  std::vector<Token> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto logit = [&](Token token) { return static_cast<double>(logits[static_cast<std::size_t>(token)]); };
  std::stable_sort(order.begin(), order.end(), [&](Token a, Token b) { return logit(a) > logit(b); });
  if (options.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(options.top_k)));
  const double best = logit(order.front());
  double mass = 0;
  for (const Token token : order) mass += std::exp(logit(token) - best);
  std::size_t kept = 0;
  for (double sum = 0; kept < order.size() && sum < options.top_p * mass; ++kept) {
    sum += std::exp(logit(order[kept]) - best);
  }
  if (options.top_p < 1) order.resize(kept);
  std::erase_if(order, [&](Token token) { return std::exp(logit(token) - best) < options.min_p; });
  std::map<Token, double> probabilities;
  double sum = 0;
  for (const Token token : order) sum += probabilities[token] = std::exp((logit(token) - best) / options.temperature);
  for (auto& [token, probability] : probabilities) probability /= sum;
  return probabilities;
}

/// Pearson's statistic over the tokens that are expected 5 times or more, the rest taken together; a value beyond the
/// 1 - 3e-5 quantile (4 standard deviations, by the Wilson-Hilferty approximation) fails. The seed is fixed: it cannot
/// fail by chance some day.
void expect_distribution(const std::map<Token, double>& expected, const std::map<Token, int>& counts, int draws) {
  double statistic = 0;
  double rest_expected = 0;
  double rest = 0;
  int cells = 0;
  for (const auto& [token, probability] : expected) {
    const auto found = counts.find(token);
    const double count = found == counts.end() ? 0 : found->second;
    if (probability * draws < 5) {
      rest_expected += probability * draws;
      rest += count;
      continue;
    }
    statistic += std::pow(count - probability * draws, 2) / (probability * draws);
    ++cells;
  }
  if (rest_expected >= 5) {
    statistic += std::pow(rest - rest_expected, 2) / rest_expected;
    ++cells;
  }
  for (const auto& [token, count] : counts) EXPECT_TRUE(expected.contains(token)) << "token " << token;
  if (cells < 2) return;
  const double freedom = cells - 1;
  const double limit = freedom * std::pow(1 - 2 / (9 * freedom) + 4 * std::sqrt(2 / (9 * freedom)), 3);
  EXPECT_LT(statistic, limit) << cells << " cells";
}

TEST(Sampler, DrawsFromTheDistributionThatTheOptionsMean) {
  const std::vector<SamplerOptions> all{
      {},
      {.temperature = 1, .top_p = 1, .top_k = 0},
      {.temperature = 1.5, .top_p = 0.8, .top_k = 0},
      {.temperature = 0.3, .top_p = 1, .top_k = 5},
      {.temperature = 1, .top_p = 1, .top_k = 1},
      {.temperature = 1, .top_p = 0.5, .top_k = 12},
      {.temperature = 2, .top_p = 1, .top_k = 0, .min_p = 0.2},
      {.temperature = 1, .top_p = 0.95, .top_k = 40, .min_p = 0.05},
      {.temperature = 1, .top_p = 1, .top_k = 100000},
      {.temperature = 1, .top_p = 1e-6, .top_k = 0},
  };
  constexpr int kDraws = 20000;
  for (const std::size_t vocabulary : {7u, 300u, 3000u}) {
    const std::vector<float> logits = random_logits(vocabulary, vocabulary);
    for (std::size_t o = 0; o < all.size(); ++o) {
      SCOPED_TRACE("vocabulary " + std::to_string(vocabulary) + ", options " + std::to_string(o));
      Sampler sampler(all[o], 17);
      std::map<Token, int> counts;
      for (int i = 0; i < kDraws; ++i) ++counts[sampler.draw(logits)];
      expect_distribution(expected_probabilities(logits, all[o]), counts, kDraws);
    }
  }
}

TEST(Sampler, PenalisesWhatOccurredRecently) {
  const SamplerOptions options{
      .temperature = 1, .top_p = 0.95, .top_k = 20, .repeat_penalty = 1.8, .repeat_last_tokens = 4};
  const std::vector<float> logits = random_logits(50, 3);
  const std::vector<Token> history{1, 2, 3, 3, 3, 4};  // the first two are too far back, and 3 counts once
  constexpr int kDraws = 20000;
  std::map<Token, int> counts;
  for (int i = 0; i < kDraws; ++i) {
    Sampler sampler(options, static_cast<std::uint64_t>(i));
    sampler.accept(history);
    ++counts[sampler.draw(logits)];
  }
  expect_distribution(expected_probabilities(logits, options, {3, 4}), counts, kDraws);
}

TEST(Sampler, RemembersItsOwnDraws) {
  std::vector<float> logits{1.0f, 0.9f, 0.8f, -5.0f};
  Sampler sampler({.temperature = 0, .repeat_penalty = 2, .repeat_last_tokens = 2}, 0);
  std::vector<Token> drawn;
  for (int i = 0; i < 6; ++i) drawn.push_back(sampler.draw(logits));
  EXPECT_EQ(drawn, (std::vector<Token>{0, 1, 2, 0, 1, 2}));
}

TEST(Sampler, IsGreedyAtTemperatureZero) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<float> logits = random_logits(1000, seed);
    const auto best = std::ranges::max_element(logits) - logits.begin();
    EXPECT_EQ(Sampler({.temperature = 0}, seed).draw(logits), best);
    logits[999] = logits[static_cast<std::size_t>(best)];  // of equals the first
    EXPECT_EQ(Sampler({.temperature = 0}, seed).draw(logits), best);
  }
}

TEST(Sampler, BreaksTiesAtTheEdgeOfTopKByTheToken) {
  std::vector<float> logits(500, 1.0f);
  logits[400] = 2.0f;
  std::set<Token> drawn;
  Sampler sampler({.temperature = 1, .top_p = 1, .top_k = 5}, 1);
  for (int i = 0; i < 2000; ++i) drawn.insert(sampler.draw(logits));
  EXPECT_EQ(drawn, (std::set<Token>{0, 1, 2, 3, 400}));
}

TEST(Sampler, FilteringAndDrawingIsTheSameInTwoSteps) {
  const std::vector<SamplerOptions> all{
      {},
      {.temperature = 0},
      {.temperature = 0, .top_k = 0, .repeat_penalty = 1.3},
      {.temperature = 1, .top_p = 1, .top_k = 0},
      {.temperature = 1, .top_p = 1, .top_k = 0, .min_p = 0.05},
      {.temperature = 0.9, .top_p = 0.95, .top_k = 0, .presence_penalty = 0.5, .frequency_penalty = 0.3},
      {.temperature = 0.9, .top_p = 0.7, .top_k = 0, .repeat_penalty = 1.2, .published_order = true},
  };
  for (std::size_t o = 0; o < all.size(); ++o) {
    SCOPED_TRACE("options " + std::to_string(o));
    Sampler one(all[o], 5);
    Sampler two(all[o], 5);
    for (std::uint64_t i = 0; i < 300; ++i) {
      const std::vector<float> logits = random_logits(2000, i);
      const Token expected = one.draw(logits);
      const auto candidates = two.filter(logits);
      ASSERT_GE(candidates.size(), 1u);
      ASSERT_EQ(two.draw_from(candidates), expected) << "draw " << i;
    }
  }
}

TEST(Sampler, ARaceWithoutAdditionsIsWonByTheDraw) {
  for (const double temperature : {0.0, 0.5, 1.0}) {
    const SamplerOptions options{.temperature = temperature, .top_p = 0.95, .top_k = 0, .repeat_penalty = 1.2};
    Sampler one(options, 5);
    Sampler two(options, 5);
    for (std::uint64_t i = 0; i < 300; ++i) {
      const std::vector<float> logits = random_logits(2000, i);
      const Token expected = one.draw(logits);
      const auto candidates = two.filter(logits);
      const std::vector<double> lags = two.race(candidates);
      ASSERT_EQ(lags.size(), candidates.size());
      const auto first = std::ranges::min_element(lags) - lags.begin();
      EXPECT_EQ(lags[static_cast<std::size_t>(first)], 0);
      EXPECT_EQ(candidates[static_cast<std::size_t>(first)].token, expected) << "draw " << i;
      two.take(expected);  // both remember it for the penalties
    }
  }
}

/// With additions it is the distribution of the logits with these: the one that draw_from() would draw from.
TEST(Sampler, ARaceWithAdditionsHasTheirDistribution) {
  constexpr int kDraws = 20000;
  for (const double temperature : {0.4, 1.0, 2.5}) {
    for (const double size : {0.3, 2.0, 8.0}) {
      SCOPED_TRACE("temperature " + std::to_string(temperature) + ", additions up to " + std::to_string(size));
      const SamplerOptions options{.temperature = temperature, .top_p = 1, .top_k = 0};
      const std::vector<float> logits = random_logits(60, 9);
      const std::vector<float> additions = random_logits(60, 10, size / 3);
      std::vector<float> sums = logits;
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += additions[i];
      Sampler sampler(options, 17);
      std::map<Token, int> counts;
      for (int i = 0; i < kDraws; ++i) {
        const auto candidates = sampler.filter(logits);
        const std::vector<double> lags = sampler.race(candidates);
        double best = -std::numeric_limits<double>::infinity();
        Token winner = -1;
        for (std::size_t c = 0; c < lags.size(); ++c) {
          const auto token = static_cast<std::size_t>(candidates[c].token);
          const double lead = static_cast<double>(additions[token]) - lags[c];
          if (lead > best) winner = candidates[c].token;
          best = std::max(best, lead);
        }
        ++counts[winner];
      }
      expect_distribution(expected_probabilities(sums, options), counts, kDraws);
    }
  }
}

TEST(Sampler, ACopyRunsTheSameRace) {
  const std::vector<float> logits = random_logits(50, 4);
  Sampler one({}, 5);
  one.race(one.filter(logits));
  Sampler two = one;
  EXPECT_EQ(one.race(one.filter(logits)), two.race(two.filter(logits)));
  two.reseed(6);
  EXPECT_NE(one.race(one.filter(logits)), two.race(two.filter(logits)));
  Sampler published({.published_order = true}, 5);
  EXPECT_EQ(error_code_of([&] { published.race(published.filter(logits)); }), ErrorCode::Internal);
}

TEST(Sampler, PenalisesByPresenceAndFrequency) {
  SamplerOptions options{.temperature = 1, .top_p = 1, .top_k = 0, .repeat_penalty = 1.5};
  options.presence_penalty = 0.7;
  options.frequency_penalty = 0.25;
  Sampler sampler(options, 1);
  const std::vector<Token> history{3, 4, 3, 3};
  sampler.accept(history);
  const std::vector<float> logits{1, 1, 1, 1, -1, 1};
  const auto candidates = sampler.filter(logits);
  ASSERT_EQ(candidates.size(), 6u);
  EXPECT_FLOAT_EQ(candidates[3].logit, 1 / 1.5f - 0.7f - 3 * 0.25f);
  EXPECT_FLOAT_EQ(candidates[4].logit, -1 * 1.5f - 0.7f - 0.25f);
  EXPECT_EQ(candidates[5].logit, 1);
  // The published sampler divides negative logits too, which makes their tokens more probable.
  Sampler published({.temperature = 1, .top_k = 0, .repeat_penalty = 1.5, .published_order = true}, 1);
  published.accept(history);
  EXPECT_FLOAT_EQ(published.filter(logits)[4].logit, -1 / 1.5f);
}

TEST(Sampler, AddsBiases) {
  SamplerOptions options{.temperature = 1, .top_p = 1, .top_k = 0};
  options.logit_bias = {{0, -kInfinity}, {2, 5.5}};
  Sampler sampler(options, 1);
  const std::vector<float> logits{9, 1, 1};
  EXPECT_EQ(sampler.filter(logits)[2].logit, 6.5f);
  for (int i = 0; i < 200; ++i) EXPECT_NE(sampler.draw(logits), 0);
  options.logit_bias = {{3, 1}};
  EXPECT_EQ(error_code_of([&] { Sampler(options, 1).draw(logits); }), ErrorCode::BadUsage);
  options.logit_bias = {{0, -kInfinity}, {1, -kInfinity}, {2, -kInfinity}};
  EXPECT_EQ(error_code_of([&] { Sampler(options, 1).draw(logits); }), ErrorCode::BadInput);
}

/// The published rule keeps the mass after the temperature, not before it.
TEST(Sampler, ThePublishedOrderFiltersAfterTheTemperature) {
  const std::vector<float> logits{2, 1, 0};  // probabilities 0.67, 0.24, 0.09; at temperature 0.3 0.96, 0.03, 0.001
  std::set<Token> ours;
  std::set<Token> published;
  SamplerOptions options{.temperature = 0.3, .top_p = 0.9, .top_k = 0};
  Sampler our_sampler(options, 2);
  options.published_order = true;
  Sampler published_sampler(options, 2);
  for (int i = 0; i < 2000; ++i) {
    ours.insert(our_sampler.draw(logits));
    published.insert(published_sampler.draw(logits));
  }
  EXPECT_EQ(ours, (std::set<Token>{0, 1}));
  EXPECT_EQ(published, (std::set<Token>{0}));
}

TEST(Sampler, ConformsToAGrammar) {
  const Backbone tiny(test::test_file("tiny-llama.gguf"));
  const Tokenizer& tokenizer = tiny.tokenizer();
  const Grammar grammar(tokenizer, "root ::= (\"yes\" | \"no\") \"!\"", "a test");
  std::set<std::string> texts;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Sampler sampler({.temperature = 1, .top_p = 0.9, .top_k = 3}, seed, &grammar);
    std::vector<Token> tokens;
    for (std::uint64_t i = 0; i < 10; ++i) {
      tokens.push_back(sampler.draw(random_logits(tokenizer.size(), 100 * seed + i)));
      if (tokenizer.is_end(tokens.back())) break;
    }
    ASSERT_TRUE(tokenizer.is_end(tokens.back()));
    texts.insert(tokenizer.decode(tokens, false));
  }
  EXPECT_EQ(texts, (std::set<std::string>{"yes!", "no!"}));
  for (const char* bad : {"", "  \n", "root ::= \"a", "rule ::= \"a\"", "root ::= root \"a\"", "root ::= x"}) {
    EXPECT_EQ(error_code_of([&] { Grammar(tokenizer, bad, "it"); }), ErrorCode::BadInput) << bad;
  }
}

TEST(Sampler, RepeatsItself) {
  const std::vector<float> logits = random_logits(300, 9);
  const auto draws = [&](std::uint64_t seed) {
    Sampler sampler({}, seed);
    std::vector<Token> tokens;
    for (int i = 0; i < 50; ++i) tokens.push_back(sampler.draw(logits));
    return tokens;
  };
  EXPECT_EQ(draws(5), draws(5));
  EXPECT_NE(draws(5), draws(6));
  EXPECT_NE(draws(5), draws(std::uint64_t{5} << 32 | 6));  // all bits of the seed count
  // llama.cpp takes this one for "from the clock".
  EXPECT_EQ(draws(0xffffffffu), draws(0xffffffffu));
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<std::string, SamplerOptions>> bad{
      {"temperature", {.temperature = -0.1}},
      {"temperature", {.temperature = nan}},
      {"temperature", {.temperature = 1e-30}},
      {"temperature", {.temperature = 1e30}},
      {"top-p", {.top_p = 0}},
      {"top-p", {.top_p = 1.1}},
      {"top-p", {.top_p = nan}},
      {"top-k", {.top_k = -1}},
      {"min-p", {.min_p = -0.1}},
      {"min-p", {.min_p = 1.5}},
      {"repeat-penalty", {.repeat_penalty = 0}},
      {"repeat-penalty", {.repeat_penalty = 100}},
      {"repeat-penalty", {.repeat_penalty = nan}},
      {"presence-penalty", {.presence_penalty = 11}},
      {"frequency-penalty", {.frequency_penalty = nan}},
      {"logit-bias", {.logit_bias = {{1, nan}}}},
      {"logit-bias", {.logit_bias = {{1, std::numeric_limits<double>::infinity()}}}},
      {"logit-bias", {.logit_bias = {{-1, 0.5}}}},
      {"repeat-last-n", {.repeat_last_tokens = 1u << 20}},
  };
  for (const auto& [name, options] : bad) {
    try {
      const Sampler sampler(options, 0);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadUsage);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  }
}

TEST(Sampler, RefusesLogitsThatAreNoNumbers) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const std::size_t count : {1u, 15u, 16u, 17u, 100u}) {
    for (std::size_t at = 0; at < count; ++at) {
      for (const float bad : {nan, kInfinity}) {
        std::vector<float> logits = random_logits(count, 1);
        logits[at] = bad;
        EXPECT_EQ(error_code_of([&] { Sampler({}, 0).draw(logits); }), ErrorCode::BadInput);
        EXPECT_EQ(error_code_of([&] { Sampler({.temperature = 0}, 0).draw(logits); }), ErrorCode::BadInput);
        EXPECT_EQ(error_code_of([&] { token_odds(logits, 0); }), ErrorCode::BadInput);
      }
    }
    EXPECT_EQ(error_code_of([&] { Sampler({}, 0).draw(std::vector<float>(count, -kInfinity)); }), ErrorCode::BadInput);
  }
  EXPECT_EQ(error_code_of([] { Sampler({}, 0).draw({}); }), ErrorCode::BadInput);
}

/// A bias beyond single precision is infinite when it is added: then no token can be drawn.
TEST(Sampler, RefusesWhatABiasMakesNoNumber) {
  SamplerOptions options;
  options.logit_bias[3] = 1e39;
  EXPECT_EQ(error_code_of([&] { Sampler(options, 0).draw(random_logits(20, 1)); }), ErrorCode::BadInput);
}

TEST(Sampler, NeverDrawsWhatIsRuledOut) {
  std::vector<float> logits(400, -kInfinity);
  logits[7] = 1;
  logits[399] = 0;
  for (const SamplerOptions& options :
       {SamplerOptions{}, SamplerOptions{.temperature = 1, .top_p = 1, .top_k = 0},
        SamplerOptions{.temperature = 1, .top_p = 0.99, .top_k = 0, .min_p = 0.01, .repeat_penalty = 1.1}}) {
    std::set<Token> drawn;
    Sampler sampler(options, 4);
    for (int i = 0; i < 500; ++i) drawn.insert(sampler.draw(logits));
    EXPECT_EQ(drawn, (std::set<Token>{7, 399}));
  }
}

}  // namespace
}  // namespace coala
