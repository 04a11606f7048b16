// Guidance inside of decoding: branches and tilts.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "decode/branch_step.h"
#include "decode/parallel_generator.h"
#include "lm/token_odds.h"
#include "tiny_replies.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

GenerationSettings guided(int candidates, std::size_t max_tokens, const BranchSettings& branch) {
  GenerationSettings settings = wild(candidates, max_tokens);
  settings.reward = reward();
  settings.branch = branch;
  settings.trace = true;
  return settings;
}

TEST(Normalised, IsWhatItsNameSays) {
  const std::vector<double> scores{1, 3, 2};
  EXPECT_EQ(normalised(scores, Normalisation::MinMax), (std::vector<double>{0, 1, 0.5}));
  EXPECT_EQ(normalised(scores, Normalisation::Raw), scores);
  const double deviation = std::sqrt(2.0 / 3);
  EXPECT_EQ(normalised(scores, Normalisation::ZScore), (std::vector<double>{-1 / deviation, 1 / deviation, 0}));
  const std::vector<double> equal{4, 4};
  EXPECT_EQ(normalised(equal, Normalisation::MinMax), (std::vector<double>{0, 0}));
  EXPECT_EQ(normalised(equal, Normalisation::ZScore), (std::vector<double>{0, 0}));
  EXPECT_TRUE(normalised({}, Normalisation::MinMax).empty());
}

TEST(BranchGuidance, FeaturesEqualFullReevaluation) {
  const EncodedPrompt prompt = chat("the hen");
  std::size_t compared = 0;
  for (const Pooling pooling : {Pooling::Mean, Pooling::Last}) {
    for (const PoolOver over : {PoolOver::Response, PoolOver::All}) {
      for (const int every : {1, 3}) {
        GenerationSettings settings = guided(4, 40, {.scale = 4, .every = every});
        settings.reward = reward(pooling, over);
        for (const Reply& reply : replies_to(prompt, settings)) {
          for (std::size_t t = 0; t < reply.tokens.size(); ++t) {
            EXPECT_TRUE((t + 1) % static_cast<std::size_t>(every) == 0 || !reply.trace[t].score) << t;
            if (!reply.trace[t].score) continue;
            const std::vector<Token> text(reply.tokens.begin(),
                                          reply.tokens.begin() + static_cast<std::ptrdiff_t>(t) + 1);
            const double tolerance = expected_score(prompt, text, settings.reward->features).tolerance;
            EXPECT_NEAR(*reply.trace[t].score,
                        extracted_score(tiny(), the_head(), prompt, text, settings.reward->features), tolerance);
            ++compared;
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 200u);
}

/// log p of all tokens by evaluating every prefix from the start: the winner's branch left the logits that its text
/// has.
TEST(BranchGuidance, GoesOnFromTheWinnersBranch) {
  const EncodedPrompt prompt = chat("the sand");
  for (const int look_ahead : {1, 3}) {
    for (const Reply& reply : replies_to(prompt, guided(3, 30, {.scale = 3, .every = 2, .look_ahead = look_ahead}))) {
      Session session(tiny(), {.cells = kContext});
      for (std::size_t t = 0; t < reply.trace.size(); ++t) {
        const auto logits = session.start(0, followed_by(prompt, std::span(reply.tokens).first(t))).logits;
        // Each logit may be off by rounding, see decode_test.cpp.
        EXPECT_NEAR(reply.trace[t].log_probability, token_odds(logits, reply.trace[t].token).log_probability, 2e-4)
            << t;
      }
      EXPECT_GT(reply.guided_steps, 0u);
    }
  }
}

/// At temperature 0 and a scale above all logits the candidate with the highest score is drawn, whoever computes it.
TEST(BranchGuidance, TakesTheCandidateThatTheHeadLikesBest) {
  const EncodedPrompt prompt = chat("the hen and");
  constexpr std::size_t kCandidates = 6;
  for (const int look_ahead : {1, 4}) {
    GenerationSettings settings = guided(1, 25, {.scale = 1e5, .every = 1, .candidates = kCandidates});
    settings.branch->look_ahead = look_ahead;
    settings.sampling = {.temperature = 0, .top_p = 1, .top_k = 0};
    const Reply reply = replies_to(prompt, settings).front();
    Session session(tiny(), {.cells = kContext});
    const auto logits_after = [&](std::span<const Token> text) {
      const auto logits = session.start(0, followed_by(prompt, text)).logits;
      return std::vector<float>(logits.begin(), logits.end());
    };
    EXPECT_EQ(reply.guided_steps, reply.trace.size());
    for (std::size_t t = 0; t < reply.trace.size(); ++t) {
      const std::vector<Token> text(reply.tokens.begin(), reply.tokens.begin() + static_cast<std::ptrdiff_t>(t));
      const std::vector<float> logits = logits_after(text);
      std::vector<Token> order(logits.size());
      for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Token>(i);
      std::ranges::sort(order, [&](Token a, Token b) {
        return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
      });
      double best = -std::numeric_limits<double>::infinity();
      double of_drawn = best;
      for (std::size_t c = 0; c < kCandidates; ++c) {
        std::vector<Token> longer = text;
        if (!tiny().tokenizer().is_end(order[c])) {
          longer.push_back(order[c]);
          for (int ahead = 1; ahead < look_ahead; ++ahead) {
            const std::vector<float> next = logits_after(longer);
            const auto token = static_cast<Token>(std::ranges::max_element(next) - next.begin());
            if (tiny().tokenizer().is_end(token)) break;
            longer.push_back(token);
          }
        }
        if (longer.empty()) continue;
        const double score = extracted_score(tiny(), the_head(), prompt, longer, {});
        best = std::max(best, score);
        if (order[c] == reply.trace[t].token) of_drawn = score;
      }
      const double tolerance = expected_score(prompt, followed_by({}, reply.tokens), {}).tolerance;
      EXPECT_NEAR(of_drawn, best, tolerance) << "token " << t << ", look-ahead " << look_ahead;
      EXPECT_NEAR(*reply.trace[t].score, of_drawn, tolerance);
    }
  }
}

/// Raw scores are log odds: the head's own times the slope of its calibration.
TEST(BranchGuidance, RawScoresAreCalibrated) {
  const EncodedPrompt prompt = chat("the hen and");
  const auto texts_with = [&prompt](const char* slope, double scale) {
    Head head = the_head();
    head.metadata["probability.slope"] = slope;
    GenerationSettings settings = guided(4, 30, {.scale = scale, .every = 1, .normalisation = Normalisation::Raw});
    settings.reward->head = &head;
    std::vector<std::string> texts;
    for (const Reply& reply : replies_to(prompt, settings)) texts.push_back(reply.text);
    return texts;
  };
  EXPECT_EQ(texts_with("2", 0.5), texts_with("1", 1));
  EXPECT_NE(texts_with("2", 1), texts_with("1", 1));
}

std::vector<EncodedPrompt> hundred_prompts(const Backbone& backbone) {
  std::vector<EncodedPrompt> prompts;
  for (int i = 0; i < 100; ++i) {
    prompts.push_back(backbone.encode_prompt({{{"user", "question " + std::to_string(i * 7919 % 1000)}}, ""}));
  }
  return prompts;
}

struct Comparison {
  int replies = 0;
  int same = 0;
  std::uint64_t guided_steps = 0;
};

/// Seeds of each prompt; the sanitizers take ten times as long.
#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t kSeeds = 1;
#else
constexpr std::uint64_t kSeeds = 3;
#endif

/// Guided replies of a scale against the plain sampler's: 100 prompts x kSeeds.
Comparison compare_with_plain(const Backbone& backbone, const RewardHead& head, BranchSettings branch) {
  const std::vector<EncodedPrompt> prompts = hundred_prompts(backbone);
  Comparison result;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    GenerationSettings settings{.max_tokens = 24, .seed = seed};
    const auto generate = [&] {
      std::vector<Reply> replies;
      ParallelGenerator(backbone, settings, prompts, 1).generate([&](std::size_t, std::vector<Reply>&& candidates) {
        replies.push_back(std::move(candidates.front()));
      });
      return replies;
    };
    const std::vector<Reply> plain = generate();
    settings.reward = head;
    settings.branch = branch;
    const std::vector<Reply> guided_replies = generate();
    for (std::size_t i = 0; i < plain.size(); ++i) {
      ++result.replies;
      result.same += guided_replies[i].tokens == plain[i].tokens ? 1 : 0;
      result.guided_steps += guided_replies[i].guided_steps;
    }
  }
  return result;
}

/// A scale of 0 leaves nothing to score, and with a tiny one no other candidate can be drawn. When all are scored the
/// branches do run, and the random numbers must still mean the same tokens.
TEST(BranchGuidance, WithoutAScaleItIsThePlainSampler) {
  for (const int every : {1, 5}) {
    const Comparison zero = compare_with_plain(tiny(), reward(), {.scale = 0, .every = every});
    EXPECT_EQ(zero.same, zero.replies);
    EXPECT_EQ(zero.guided_steps, 0u);
    const Comparison settled = compare_with_plain(tiny(), reward(), {.scale = 1e-30, .every = every});
    EXPECT_EQ(settled.same, settled.replies);
    EXPECT_EQ(settled.guided_steps, 0u);
    const Comparison tiny_scale =
        compare_with_plain(tiny(), reward(), {.scale = 1e-30, .every = every, .score_all = true});
    EXPECT_EQ(tiny_scale.same, tiny_scale.replies);
    EXPECT_EQ(tiny_scale.replies, 100 * static_cast<int>(kSeeds));
    EXPECT_GT(tiny_scale.guided_steps, 1000 * kSeeds / 3 / static_cast<unsigned>(every));
  }
}

TEST(BranchGuidance, WithoutAScaleItIsThePlainSamplerOfTheDemosModel) {
  const Backbone tutor(std::filesystem::path(COALA_DEMO_MODEL));
  Head head;
  head.transform = FeatureTransform::identity(tutor.identity().dimension);
  head.network.theta1 = Matrix<float>(1, tutor.identity().dimension);
  head.network.gates = Matrix<float>(1, tutor.identity().dimension);
  head.network.theta1.row(0)[3] = 1;
  head.network.theta2 = {1.0f};
  const Comparison zero = compare_with_plain(tutor, {&head, {}}, {.scale = 0});
  EXPECT_EQ(zero.same, zero.replies);
  // F16 weights: a row's last bits depend on how many rows are evaluated with it, so that a draw may turn out
  // otherwise.
  const Comparison tiny_scale = compare_with_plain(tutor, {&head, {}}, {.scale = 1e-30, .score_all = true});
  std::printf("%d of %d replies are the same\n", tiny_scale.same, tiny_scale.replies);
  EXPECT_GE(tiny_scale.same, 95 * static_cast<int>(kSeeds));
  EXPECT_GT(tiny_scale.guided_steps, 100 * kSeeds / 3);
}

/// One step after another on the tiny model's sequence 1, with branches from sequence 2 on.
class Steps {
 public:
  Steps(Session& session, const RewardHead& reward, const BranchSettings& settings)
      : session_(session), step_(tiny(), session, reward, settings, 1, branches(settings), nullptr) {}

  BranchChoice choose(const PooledState& text, Sampler& sampler, std::span<const float> logits) {
    step_.begin(text, sampler, logits);
    while (step_.is_open()) {
      std::vector<Session::Row> rows;
      step_.prepare(rows);
      step_.take(session_.step(rows));
    }
    return step_.choice();
  }

 private:
  static std::vector<int> branches(const BranchSettings& settings) {
    std::vector<int> sequences(static_cast<std::size_t>(BranchStep::branches(tiny(), settings)));
    std::iota(sequences.begin(), sequences.end(), 2);
    return sequences;
  }

  Session& session_;
  BranchStep step_;
};

/// Ten thousand guided steps.
TEST(BranchGuidance, LosesNeitherCellsNorMemory) {
  const EncodedPrompt prompt = chat("the hen");
  constexpr int kBranches = 5;
  for (const int look_ahead : {1, 2}) {
    // No cell to spare beyond llama.cpp's rounding up.
    Session session(tiny(), {.sequences = 2 + kBranches, .cells = 256});
    const RewardHead head = reward();
    Steps guide(session, head, {.every = 1, .candidates = kBranches, .look_ahead = look_ahead});
    const auto output = session.start(0, prompt.tokens);
    const std::vector<float> first(output.logits.begin(), output.logits.end());
    Sampler sampler({.temperature = 1, .top_p = 1, .top_k = 0}, 8);
    std::vector<float> logits;
    std::size_t length = 0;
    PooledState text(Pooling::Mean, 32);
    // At the beginnings of texts; it swings by some kilobytes. A leak of 8 bytes per step would show.
    std::vector<std::size_t> memory;
    for (int step = 0; step < 5000; ++step) {
      if (length == 0 || length > 200) {
        session.fork(0, 1);
        for (int s = 2; s < 2 + kBranches; ++s) session.fork(0, s);
        memory.push_back(mallinfo2().uordblks);
        for (int s = 2; s < 2 + kBranches; ++s) session.drop(s);
        logits = first;
        length = prompt.tokens.size();
        text = PooledState(Pooling::Mean, 32);
      }
      const BranchChoice choice = guide.choose(text, sampler, logits);
      std::optional<Session::Output> next = choice.next;
      const Session::Row row{1, choice.token};
      if (!next && !tiny().tokenizer().is_end(choice.token)) next = session.step({&row, 1}).front();
      if (next) {
        ++length;
        text.add(next->state);
        logits.assign(next->logits.begin(), next->logits.end());
      }
      ASSERT_EQ(session.held_tokens(0), prompt.tokens.size());
      ASSERT_EQ(session.held_tokens(1), length) << "step " << step;
      ASSERT_EQ(session.length_tokens(1), length);
      for (int s = 2; s < 2 + kBranches; ++s) ASSERT_LE(session.held_tokens(s), length);
    }
    ASSERT_GT(memory.size(), 10u);
    EXPECT_LE(memory.back(), memory[2] + 8 * 4000);
    for (const int s : {0, 1}) session.drop(s);
    for (int s = 0; s < 2 + kBranches; ++s) EXPECT_EQ(session.held_tokens(s), 0u);
  }
}

/// Counts the rows that a guided token costs: the smallest number of leading candidates with the mass, at the
/// temperature.
TEST(BranchGuidance, ScoresWhatHasTheMassAtTheTemperature) {
  const EncodedPrompt prompt = chat("the hen");
  const RewardHead head = reward();
  for (const double temperature : {0.3, 0.7, 1.5}) {
    for (const double top_p : {0.3, 0.7, 0.95}) {
      constexpr int kMost = 40;
      Session session(tiny(), {.sequences = 2 + kMost, .cells = 256});
      Steps guide(session, head, {.every = 1, .candidates = kMost, .top_p = top_p, .score_all = true});
      const auto output = session.start(0, prompt.tokens);
      const std::vector<float> logits(output.logits.begin(), output.logits.end());
      session.fork(0, 1);
      std::vector<double> weights;
      for (const float logit : logits) weights.push_back(std::exp(static_cast<double>(logit) / temperature));
      std::ranges::sort(weights, std::greater<>());
      const double wanted = top_p * std::accumulate(weights.begin(), weights.end(), 0.0);
      std::uint64_t expected = 0;
      for (double mass = 0; mass < wanted && expected < kMost;) mass += weights[expected++];
      Sampler sampler({.temperature = temperature, .top_p = 1, .top_k = 0}, 8);
      const std::uint64_t before = session.counts().rows;
      const BranchChoice choice = guide.choose(PooledState(Pooling::Mean, 32), sampler, logits);
      EXPECT_EQ(choice.guided, expected > 1);
      // An end of the text among them is scored without a row.
      const std::uint64_t rows = session.counts().rows - before;
      EXPECT_LE(rows, expected);
      EXPECT_GE(rows + 1, expected);
    }
  }
}

/// Which candidates a score can bring forward far enough is known from the race; they and no others get a branch, and
/// the one that is then the first, by scores that are computed here, is drawn.
TEST(BranchGuidance, ScoresWhatTheDrawCanStillChoose) {
  const EncodedPrompt prompt = chat("the hen");
  constexpr int kMost = 12;
  const RewardHead head = reward();
  int behind = 0;
  int overtaken = 0;
  for (const double scale : {0.5, 2.0, -2.0}) {
    Session session(tiny(), {.sequences = 2 + kMost, .cells = 256});
    Steps guide(session, head, {.scale = scale, .every = 1, .candidates = kMost, .top_p = 1});
    const auto output = session.start(0, prompt.tokens);
    const std::vector<float> logits(output.logits.begin(), output.logits.end());
    for (std::uint64_t seed = 0; seed < 40; ++seed) {
      Sampler sampler({.temperature = 1, .top_p = 1, .top_k = kMost}, seed);
      Sampler same = sampler;
      const auto candidates = same.filter(logits);
      const std::vector<double> lags = same.race(candidates);
      std::vector<double> leads;
      std::vector<Token> tokens;
      std::vector<double> raw;
      std::size_t rows = 0;
      for (std::size_t c = 0; c < candidates.size(); ++c) {
        if (lags[c] > std::abs(scale)) continue;
        const Token token = candidates[c].token;
        ASSERT_FALSE(tiny().tokenizer().is_end(token));
        ++rows;
        leads.push_back(-lags[c]);
        tokens.push_back(token);
        raw.push_back(extracted_score(tiny(), the_head(), prompt, {&token, 1}, {}));
      }
      behind += static_cast<int>(candidates.size() - rows);
      const std::vector<double> scores = normalised(raw, Normalisation::MinMax);
      for (std::size_t i = 0; i < leads.size(); ++i) leads[i] += scale * scores[i];
      const auto first = static_cast<std::size_t>(std::ranges::max_element(leads) - leads.begin());
      session.fork(0, 1);
      const std::uint64_t before = session.counts().rows;
      const BranchChoice choice = guide.choose(PooledState(Pooling::Mean, 32), sampler, logits);
      EXPECT_EQ(session.counts().rows - before, rows > 1 ? rows : 0);
      EXPECT_EQ(choice.guided, rows > 1);
      EXPECT_EQ(choice.token, tokens[first]) << "scale " << scale << ", seed " << seed;
      const auto plain = static_cast<std::size_t>(std::ranges::min_element(lags) - lags.begin());
      overtaken += choice.token != candidates[plain].token ? 1 : 0;
      session.drop(1);
    }
  }
  EXPECT_GT(behind, 0);
  EXPECT_GT(overtaken, 0);
}

/// The penalties know of the token.
TEST(BranchGuidance, RemembersWhatItDrew) {
  const EncodedPrompt prompt = chat("the hen");
  const RewardHead head = reward();
  for (const bool score_all : {false, true}) {
    Session session(tiny(), {.sequences = 6, .cells = 256});
    Steps guide(session, head, {.every = 1, .candidates = 4, .score_all = score_all});
    const auto output = session.start(0, prompt.tokens);
    const std::vector<float> logits(output.logits.begin(), output.logits.end());
    session.fork(0, 1);
    Sampler sampler({.temperature = 1, .top_p = 1, .top_k = 0, .presence_penalty = 3}, 8);
    const Token drawn = guide.choose(PooledState(Pooling::Mean, 32), sampler, logits).token;
    for (const TokenLogit& candidate : sampler.filter(logits)) {
      const float penalty = candidate.token == drawn ? 3 : 0;
      EXPECT_EQ(candidate.logit, logits[static_cast<std::size_t>(candidate.token)] - penalty);
    }
  }
}

/// Candidates without a branch count as the mean of those with one: what all texts have in common, such as a head's
/// bias, moves no draw away from them or towards them.
TEST(BranchGuidance, WhatAllScoresHaveInCommonChangesNoDraw) {
  const EncodedPrompt prompt = chat("the hen");
  Head moved = the_head();
  moved.network.bias -= 64;
  constexpr int kMost = 3;
  constexpr int kDraws = 60;
  std::vector<Token> drawn;
  for (const Head* head : {&the_head(), static_cast<const Head*>(&moved)}) {
    const RewardHead own{head, {}};
    Session session(tiny(), {.sequences = 2 + kMost, .cells = 256});
    const BranchSettings settings{.scale = 1, .every = 1, .candidates = kMost, .normalisation = Normalisation::Raw};
    Steps guide(session, own, settings);
    const auto output = session.start(0, prompt.tokens);
    const std::vector<float> logits(output.logits.begin(), output.logits.end());
    Sampler sampler({.temperature = 1.5, .top_p = 1, .top_k = 0}, 8);
    std::set<Token> different;
    for (int i = 0; i < kDraws; ++i) {
      session.fork(0, 1);
      const BranchChoice choice = guide.choose(PooledState(Pooling::Mean, 32), sampler, logits);
      session.drop(1);
      different.insert(choice.token);
      if (head == &moved) {
        EXPECT_EQ(choice.token, drawn[static_cast<std::size_t>(i)]);
      } else {
        drawn.push_back(choice.token);
      }
    }
    EXPECT_GT(different.size(), static_cast<std::size_t>(kMost));  // some of them had no branch
  }
}

/// Adds a number to one token's logit, whatever the state.
class OneTokenTilt : public LogitsProcessor {
 public:
  OneTokenTilt(Token token, float size) : token_(token), size_(size) {}
  void add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool*) const override {
    EXPECT_EQ(state.size(), 32u);
    logits[static_cast<std::size_t>(token_)] += static_cast<float>(scale) * size_;
  }

 private:
  Token token_;
  float size_;
};

TEST(BranchGuidance, AnEndAmongTheCandidatesIsScoredByTheTextSoFar) {
  constexpr Token kEnd = 2;
  ASSERT_TRUE(tiny().tokenizer().is_end(kEnd));
  const EncodedPrompt prompt = chat("the hen");
  const OneTokenTilt likes_to_end(kEnd, 4);
  GenerationSettings settings = guided(150, 30, {.scale = 1, .every = 1, .score_all = true});
  settings.tilt = &likes_to_end;
  int empty = 0;
  int compared = 0;
  for (const Reply& reply : replies_to(prompt, settings)) {
    if (reply.finish != Finish::Stop || reply.trace.back().token != kEnd) continue;
    if (!reply.trace.back().score) continue;  // not among the most probable
    if (reply.tokens.empty()) {
      ++empty;
      continue;
    }
    EXPECT_EQ(*reply.trace.back().score, *reply.score);
    ++compared;
  }
  EXPECT_GT(empty, 0);
  EXPECT_GT(compared, 10);
}

/// The tiny model has more tokens than validate() lets k be, so that the clamp is asked by itself.
TEST(BranchGuidance, TakesEveryTokenWhereKIsLarger) {
  const auto vocabulary = static_cast<int>(tiny().identity().vocabulary);
  for (const int more : {0, 1, 10000}) {
    EXPECT_EQ(BranchStep::branches(tiny(), {.candidates = vocabulary + more}), vocabulary);
  }
  EXPECT_EQ(BranchStep::branches(tiny(), {.candidates = vocabulary - 1}), vocabulary - 1);

  const EncodedPrompt prompt = chat("the hen");
  const std::set<Token> left{5, 70, 100, 120, 200, 270};
  constexpr int kMost = 254;
  Session session(tiny(), {.sequences = 2 + kMost, .cells = 512});
  const auto output = session.start(0, prompt.tokens);
  const std::vector<float> logits(output.logits.begin(), output.logits.end());
  SamplerOptions sampling{.temperature = 0, .top_p = 1, .top_k = 0};
  for (Token token = 0; token < vocabulary; ++token) {
    if (!left.contains(token)) sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
  }
  std::map<double, Token> by_score;
  for (const Token token : left) by_score[extracted_score(tiny(), the_head(), prompt, {&token, 1}, {})] = token;
  ASSERT_EQ(by_score.size(), left.size());
  const RewardHead head = reward();
  // The best and the worst by the head cannot both be the model's first choice.
  for (const double scale : {1e5, -1e5}) {
    Steps guide(session, head, {.scale = scale, .every = 1, .candidates = kMost, .top_p = 1});
    Sampler sampler(sampling, 8);
    session.fork(0, 1);
    const std::uint64_t before = session.counts().rows;
    const BranchChoice choice = guide.choose(PooledState(Pooling::Mean, 32), sampler, logits);
    EXPECT_EQ(session.counts().rows - before, left.size());
    EXPECT_EQ(choice.token, scale > 0 ? by_score.rbegin()->second : by_score.begin()->second);
    session.drop(1);
  }
}

/// The score of an end without a text, and what a scale makes of it.
TEST(BranchGuidance, AnEndWithoutATextHasTheLowestScoreOfTheOthers) {
  constexpr Token kEnd = 2;
  const EncodedPrompt prompt = chat("the hen");
  const std::set<Token> left{kEnd, 70, 100, 120};
  GenerationSettings settings = guided(1, 5, {.every = 1, .candidates = 10, .top_p = 1});
  settings.sampling.temperature = 0;
  for (std::size_t i = 0; i < tiny().tokenizer().size(); ++i) {
    const auto token = static_cast<Token>(i);
    if (!left.contains(token)) settings.sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
  }
  // It ties with the lowest of the others: this decides between the two, and is nothing beside the scale.
  settings.sampling.logit_bias[kEnd] = 100;
  double lowest = std::numeric_limits<double>::infinity();
  double tolerance = 0;
  for (const Token token : left) {
    if (token == kEnd) continue;
    const Expected expected = expected_score(prompt, {token}, {});
    lowest = std::min(lowest, expected.score);
    tolerance = std::max(tolerance, expected.tolerance);
  }
  settings.branch->scale = -1e5;
  const Reply ended = replies_to(prompt, settings).front();
  EXPECT_EQ(ended.finish, Finish::Stop);
  EXPECT_TRUE(ended.tokens.empty());
  ASSERT_EQ(ended.trace.size(), 1u);
  EXPECT_EQ(ended.trace[0].token, kEnd);
  ASSERT_TRUE(ended.trace[0].score);
  EXPECT_NEAR(*ended.trace[0].score, lowest, tolerance);
  EXPECT_FALSE(ended.score);

  // A head that likes others better outweighs the bias.
  settings.branch->scale = 1e5;
  const Reply goes_on = replies_to(prompt, settings).front();
  ASSERT_FALSE(goes_on.tokens.empty());
  EXPECT_GT(*goes_on.trace[0].score, lowest + tolerance);
}

TEST(BranchGuidance, NeedsNoBranchForACertainToken) {
  GenerationSettings settings = guided(2, 20, {.every = 1});
  settings.sampling = {.temperature = 1, .top_p = 1, .top_k = 1};
  Generator generator(tiny(), settings, 30, 1, 1);
  std::size_t rows = chat("the").tokens.size();
  for (const Reply& reply : generator.generate(chat("the"))) {
    EXPECT_EQ(reply.guided_steps, 0u);
    rows += reply.tokens.size();
  }
  EXPECT_EQ(generator.counts().rows, rows);
}

TEST(BranchGuidance, StopsWhereTheContextEnds) {
  const EncodedPrompt prompt = long_prompt(240);
  for (const int look_ahead : {1, 8}) {
    GenerationSettings settings = guided(4, 1000, {.every = 1, .candidates = 254, .look_ahead = look_ahead});
    int full = 0;
    for (const Reply& reply : replies_to(prompt, settings)) {
      EXPECT_NE(reply.finish, Finish::Length);
      if (reply.finish != Finish::Context) continue;
      ++full;
      EXPECT_EQ(prompt.tokens.size() + reply.tokens.size(), kContext);
      const Expected expected = expected_score(prompt, reply.tokens, {});
      EXPECT_NEAR(*reply.score, expected.score, expected.tolerance);
    }
    EXPECT_GT(full, 0);
    EXPECT_EQ(replies_to(long_prompt(kContext - 1), settings).size(), 4u);
    EXPECT_EQ(error_code_of([&] { replies_to(long_prompt(kContext), settings); }), ErrorCode::BadInput);
    EXPECT_EQ(error_code_of([&] { replies_to({}, settings); }), ErrorCode::BadInput);
  }
}

TEST(BranchGuidance, RefusesWhatMakesNoSense) {
  const auto refused = [](const BranchSettings& branch) {
    return error_code_of([&] { replies_to(chat("x"), guided(1, 5, branch)); }) == ErrorCode::BadUsage;
  };
  EXPECT_TRUE(refused({.scale = std::numeric_limits<double>::quiet_NaN()}));
  EXPECT_TRUE(refused({.every = 0}));
  EXPECT_TRUE(refused({.candidates = 1}));
  EXPECT_TRUE(refused({.candidates = 255}));
  EXPECT_TRUE(refused({.look_ahead = 0}));
  GenerationSettings headless = guided(1, 5, {});
  headless.reward.reset();
  EXPECT_EQ(error_code_of([&] { replies_to(chat("x"), headless); }), ErrorCode::BadUsage);
}

TEST(BranchGuidance, DependsOnNeitherThreadsNorOtherReplies) {
  std::vector<EncodedPrompt> prompts;
  for (int i = 0; i < 6; ++i) prompts.push_back(chat("the hen " + std::string(static_cast<std::size_t>(i * 5), 'a')));
  const auto all = [&](int threads, int candidates) {
    std::vector<Reply> replies;
    ParallelGenerator generator(tiny(), guided(candidates, 20, {.every = 2}), prompts, threads);
    generator.generate([&](std::size_t, std::vector<Reply>&& c) { replies.push_back(std::move(c.front())); });
    return replies;
  };
  const auto one = all(1, 1);
  const auto other = all(3, 2);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(one[i].tokens, other[i].tokens);
    EXPECT_EQ(one[i].score, other[i].score);
  }
}

TEST(LogitsProcessor, IsABiasWhereItDoesNotLookAtTheState) {
  const EncodedPrompt prompt = chat("the hen");
  const Token token = tiny().encode_response(prompt, "the").front();
  const OneTokenTilt tilt(token, 3);
  GenerationSettings settings = wild(5, 20);
  settings.tilt = &tilt;
  const std::vector<Reply> tilted = replies_to(prompt, settings);
  settings.tilt = nullptr;
  const std::vector<Reply> plain = replies_to(prompt, settings);
  settings.sampling.logit_bias = {{token, 3}};
  const std::vector<Reply> biased = replies_to(prompt, settings);
  int changed = 0;
  for (std::size_t i = 0; i < tilted.size(); ++i) {
    EXPECT_EQ(tilted[i].tokens, biased[i].tokens);
    EXPECT_EQ(tilted[i].log_probability, biased[i].log_probability);  // of the model as it is
    changed += tilted[i].tokens != plain[i].tokens ? 1 : 0;
  }
  EXPECT_GT(changed, 0);
}

}  // namespace
}  // namespace coala
