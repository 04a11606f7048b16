#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/random.h"
#include "core/utf8.h"
#include "decode/parallel_generator.h"
#include "extract/feature_extractor.h"
#include "tiny_replies.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

void expect_same(const Reply& a, const Reply& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.finish, b.finish);
  EXPECT_EQ(a.log_probability_tokens, b.log_probability_tokens);
  EXPECT_EQ(a.score.has_value(), b.score.has_value());
}

TEST(Generator, GreedyIsALoopOverOneSequence) {
  const EncodedPrompt prompt = chat("the hen ran");
  GenerationSettings settings{.max_tokens = 25, .sampling = {.temperature = 0}};
  const Reply reply = replies_to(prompt, settings).front();
  std::vector<Token> tokens;
  Session session(tiny(), {.cells = kContext});
  while (tokens.size() < 25) {
    // From the start each time: shares neither cache nor steps with what is tested.
    const auto logits = session.start(0, followed_by(prompt, tokens)).logits;
    const auto best = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
    if (tiny().tokenizer().is_end(best)) break;
    tokens.push_back(best);
  }
  EXPECT_EQ(reply.tokens, tokens);
  EXPECT_GT(tokens.size(), 3u);
  EXPECT_FALSE(reply.score.has_value());
  // All candidates of a greedy draw are the same.
  settings.replies = 4;
  for (const Reply& other : replies_to(prompt, settings)) expect_same(other, reply);
}

TEST(Generator, ACandidateIsTheSameHoweverManyThereAre) {
  const EncodedPrompt prompt = chat("the hen and the inn");
  GenerationSettings settings{.max_tokens = 40, .replies = 9, .seed = 11};
  const std::vector<Reply> nine = replies_to(prompt, settings);
  settings.replies = 1;
  expect_same(replies_to(prompt, settings).front(), nine.front());  // the unguided reply
  settings.replies = 4;
  settings.reward = reward();
  const std::vector<Reply> four = replies_to(prompt, settings);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(four[i].tokens, nine[i].tokens) << i;
  EXPECT_NE(nine[0].tokens, nine[1].tokens);
  settings.seed = 12;
  EXPECT_NE(replies_to(prompt, settings).front().tokens, nine.front().tokens);
}

TEST(Generator, SeedsDifferByPromptAndCandidate) {
  std::map<std::uint64_t, int> seen;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    for (const std::vector<Token>& prompt : {std::vector<Token>{}, {1}, {1, 2}, {2, 1}, {1, 2, 0}}) {
      for (std::size_t i = 0; i < 50; ++i) ++seen[candidate_seed(seed, prompt, i)];
    }
  }
  EXPECT_EQ(seen.size(), 3u * 5 * 50);
}

TEST(Generator, ScoresAreThoseOfExtraction) {
  const EncodedPrompt prompt = chat("the hen");
  for (const Pooling pooling : {Pooling::Mean, Pooling::Last}) {
    for (const PoolOver over : {PoolOver::Response, PoolOver::All}) {
      GenerationSettings settings = wild(12, 60);
      settings.reward = reward(pooling, over);
      std::map<Finish, int> finishes;
      for (const Reply& reply : replies_to(prompt, settings)) {
        ++finishes[reply.finish];
        ASSERT_TRUE(reply.score.has_value() || reply.tokens.empty());
        if (reply.tokens.empty()) continue;
        const Expected expected = expected_score(prompt, reply.tokens, settings.reward->features);
        EXPECT_NEAR(*reply.score, expected.score, expected.tolerance);
      }
      EXPECT_GT(finishes[Finish::Stop], 0);
      EXPECT_GT(finishes[Finish::Length], 0);
    }
  }
}

Matrix<float> features_of(FeatureExtractor& extractor, const Prompt& prompt, std::string_view response) {
  FeatureCounts counts;
  const auto encoded = extractor.encode(prompt, {&response, 1}, counts);
  const EncodedResponse* const one = &encoded.front();
  return extractor.pool({&one, 1});
}

/// From the text: `coala score` sees that, not the tokens. They are the same where the model wrote what its tokenizer
/// would; short replies often are.
TEST(Generator, ScoresOfTextsAreThoseOfScore) {
  const Prompt prompt{{{"user", "the hen"}}, ""};
  const EncodedPrompt encoded = tiny().encode_prompt(prompt);
  GenerationSettings settings = wild(100, 2);
  settings.reward = reward();
  FeatureExtractor extractor(tiny(), {}, 1);
  int compared = 0;
  for (const Reply& reply : replies_to(encoded, settings)) {
    if (reply.text.empty() || tiny().encode_response(encoded, reply.text) != reply.tokens) continue;
    const double score = the_head().score(features_of(extractor, prompt, reply.text).row(0));
    EXPECT_NEAR(*reply.score, score, expected_score(encoded, reply.tokens, {}).tolerance) << reply.text;
    ++compared;
  }
  EXPECT_GT(compared, 10);
}

TEST(Generator, LogProbabilitiesAreThoseOfTheModel) {
  const EncodedPrompt prompt = chat("the sand");
  // The filters decide what is drawn, not what is reported.
  for (GenerationSettings settings : {wild(6, 30), GenerationSettings{.max_tokens = 30, .replies = 3}}) {
    for (const Reply& reply : replies_to(prompt, settings)) {
      Session session(tiny(), {.cells = kContext});
      double sum = 0;
      for (std::size_t t = 0; t < reply.tokens.size() + (reply.finish == Finish::Stop ? 1 : 0); ++t) {
        const auto logits = session.start(0, followed_by(prompt, std::span(reply.tokens).first(t))).logits;
        double total = 0;
        double ending = 0;
        for (std::size_t c = 0; c < logits.size(); ++c) {
          total += std::exp(static_cast<double>(logits[c]));
          if (tiny().tokenizer().is_end(static_cast<Token>(c))) ending += std::exp(static_cast<double>(logits[c]));
        }
        if (t == reply.tokens.size()) {
          // Which of the ending tokens it was is not kept: between the most and the least probable of them all.
          EXPECT_LE(reply.log_probability - sum, std::log(ending / total) + 1e-4);
          sum = reply.log_probability;
          continue;
        }
        sum += static_cast<double>(logits[static_cast<std::size_t>(reply.tokens[t])]) - std::log(total);
      }
      // Each logit may be off by rounding, see Session's tests: 2e-5 sqrt(2) of about 6.
      EXPECT_NEAR(reply.log_probability, sum, 2e-4 * static_cast<double>(reply.log_probability_tokens));
      EXPECT_EQ(reply.log_probability_tokens, reply.tokens.size() + (reply.finish == Finish::Stop ? 1 : 0));
    }
  }
}

/// Lifts one token, so that the guided distribution is another than the model's.
class LiftOne : public LogitsProcessor {
 public:
  void add(std::span<const float>, double scale, std::span<float> logits, ThreadPool*) const override {
    logits[40] += static_cast<float>(3 * scale);
  }
};

/// The most probable tokens beside each, of the distribution that is drawn from, against sums in double precision.
TEST(Generator, NamesTheAlternatives) {
  const EncodedPrompt prompt = chat("the sand");
  const LiftOne lift;
  for (const LogitsProcessor* tilt :
       {static_cast<const LogitsProcessor*>(nullptr), static_cast<const LogitsProcessor*>(&lift)}) {
    GenerationSettings settings = wild(2, 12);
    settings.tilt = tilt;
    const std::vector<Reply> plain = replies_to(prompt, settings);
    settings.alternatives = 4;
    const std::vector<Reply> replies = replies_to(prompt, settings);
    settings.measures = false;
    const std::vector<Reply> unmeasured = replies_to(prompt, settings);
    for (std::size_t r = 0; r < replies.size(); ++r) {
      EXPECT_EQ(replies[r].tokens, plain[r].tokens);
      EXPECT_TRUE(plain[r].trace.empty());
      EXPECT_EQ(unmeasured[r].tokens, plain[r].tokens);
      EXPECT_EQ(unmeasured[r].log_probability, 0);
      EXPECT_EQ(unmeasured[r].log_probability_tokens, 0u);
      for (std::size_t t = 0; t < replies[r].tokens.size(); ++t) {
        const DrawnToken& drawn = replies[r].trace[t];
        Session session(tiny(), {.cells = kContext});
        const auto logits = session.start(0, followed_by(prompt, std::span(replies[r].tokens).first(t))).logits;
        std::vector<double> logs(logits.begin(), logits.end());
        if (tilt != nullptr) logs[40] += 3;
        double total = 0;
        for (const double log : logs) total += std::exp(log);
        for (double& log : logs) log -= std::log(total);
        EXPECT_NEAR(drawn.guided_log_probability, logs[static_cast<std::size_t>(drawn.token)], 2e-4);
        EXPECT_NEAR(unmeasured[r].trace[t].guided_log_probability, drawn.guided_log_probability, 1e-12);
        ASSERT_EQ(drawn.alternatives.size(), 4u);
        for (const TokenProbability& one : drawn.alternatives) {
          EXPECT_NEAR(one.log_probability, logs[static_cast<std::size_t>(one.token)], 2e-4);
        }
        std::ranges::sort(logs, std::greater<>());
        for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(drawn.alternatives[i].log_probability, logs[i], 2e-4);
      }
    }
  }
  EXPECT_EQ(most_probable(std::vector<float>{1, 3, 3}, 9).size(), 3u);
  EXPECT_EQ(most_probable(std::vector<float>{1, 3, 3}, 9).front().token, 1);
  EXPECT_TRUE(most_probable(std::vector<float>{1, 3, 3}, 0).empty());
}

TEST(Generator, StopsAtTheEndOfTurn) {
  const EncodedPrompt prompt = chat("the hen");
  int stopped = 0;
  int empty = 0;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    GenerationSettings settings = wild(200, 30);
    settings.seed = seed;
    settings.reward = reward();
    for (const Reply& reply : replies_to(prompt, settings)) {
      for (const Token token : reply.tokens) EXPECT_FALSE(tiny().tokenizer().is_end(token));
      EXPECT_LE(reply.tokens.size(), 30u);
      EXPECT_EQ(find_invalid_utf8(reply.text), std::string_view::npos);
      EXPECT_EQ(reply.score.has_value(), !reply.tokens.empty());
      EXPECT_EQ(reply.finish == Finish::Length, reply.tokens.size() == 30);
      stopped += reply.finish == Finish::Stop ? 1 : 0;
      empty += reply.tokens.empty() ? 1 : 0;
    }
  }
  EXPECT_GT(stopped, 10);
  EXPECT_GT(empty, 0);
}

TEST(Generator, StopsWhereTheContextEnds) {
  GenerationSettings settings = wild(3, 1000);
  settings.reward = reward();
  const EncodedPrompt prompt = long_prompt(240);
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
  EXPECT_EQ(replies_to(long_prompt(kContext - 1), wild(2, 5)).size(), 2u);
  EXPECT_EQ(error_code_of([] { replies_to(long_prompt(kContext), wild(2, 5)); }), ErrorCode::BadInput);
}

TEST(Generator, RefusesWhatMakesNoSense) {
  EXPECT_EQ(error_code_of([] { replies_to({}, wild(2, 5)); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([] { replies_to(chat("x"), wild(2, 0)); }), ErrorCode::BadUsage);
  EXPECT_EQ(error_code_of([] { replies_to(chat("x"), wild(0, 5)); }), ErrorCode::BadUsage);
  EXPECT_EQ(replies_to(chat("x"), wild(300, 3)).size(), 300u);
  GenerationSettings cold = wild(1, 5);
  cold.sampling.temperature = -1;
  EXPECT_EQ(error_code_of([&] { replies_to(chat("x"), cold); }), ErrorCode::BadUsage);
  // The prompt may be empty as long as the model has a token that starts a text.
  EXPECT_EQ(replies_to(tiny().encode_prompt({}), wild(2, 5)).size(), 2u);
}

TEST(BestOf, IsTheFirstOfTheHighest) {
  std::vector<Reply> replies(4);
  EXPECT_EQ(best_of(replies), 0u);  // none has a score
  replies[2].score = -1e30;
  EXPECT_EQ(best_of(replies), 2u);
  replies[1].score = 0.5;
  replies[3].score = 0.5;
  EXPECT_EQ(best_of(replies), 1u);
}

TEST(BestOf, IsNeverOutsideOfWhatTheModelCanWrite) {
  std::vector<Reply> replies(3);
  for (Reply& reply : replies) {
    reply.log_probability_tokens = 100;
    reply.log_probability = -150;
    reply.entropy = 160;
    for (Token token = 0; token < 100; ++token) reply.tokens.push_back(token);
  }
  replies[0].score = 1;
  replies[1].score = 9;
  replies[2].score = 5;
  EXPECT_EQ(best_of(replies), 1u);
  replies[1].divergence = 0.3 * 160 + 3;
  EXPECT_FALSE(is_outside(replies[1]));
  replies[1].divergence = 0.3 * 160 + 5;
  EXPECT_TRUE(is_outside(replies[1]));
  EXPECT_EQ(best_of(replies), 2u);
  for (std::size_t i = 0; i < 100; ++i) replies[2].tokens[i] = static_cast<Token>(i % 5);
  EXPECT_TRUE(is_outside(replies[2]));
  EXPECT_EQ(best_of(replies), 0u);
  replies[0].log_probability = -160 - 91;  // 0.5 + 4 / sqrt(100) nats a token is the limit
  EXPECT_TRUE(is_outside(replies[0]));
  EXPECT_EQ(best_of(replies), 1u) << "where all are, the best of all";
  replies[0].log_probability = -160 - 89;
  EXPECT_FALSE(is_outside(replies[0]));
  replies[0].score = std::nullopt;
  EXPECT_EQ(best_of(replies), 0u) << "without a score, but inside";
}

std::vector<EncodedPrompt> some_prompts() {
  std::vector<EncodedPrompt> prompts;
  for (int i = 0; i < 12; ++i) prompts.push_back(chat("the hen " + std::string(static_cast<std::size_t>(i * 5), 'a')));
  return prompts;
}

std::vector<std::vector<Reply>> generate_all(const std::vector<EncodedPrompt>& prompts,
                                             const GenerationSettings& settings, int threads) {
  ParallelGenerator generator(tiny(), settings, prompts, threads);
  std::vector<std::vector<Reply>> all;
  generator.generate([&](std::size_t prompt, std::vector<Reply>&& candidates) {
    EXPECT_EQ(prompt, all.size());
    all.push_back(std::move(candidates));
  });
  return all;
}

TEST(ParallelGenerator, DependsOnNeitherThreadsNorOtherPrompts) {
  const std::vector<EncodedPrompt> prompts = some_prompts();
  GenerationSettings settings = wild(3, 20);
  settings.reward = reward();
  const auto one = generate_all(prompts, settings, 1);
  const auto three = generate_all(prompts, settings, 3);
  ASSERT_EQ(one.size(), prompts.size());
  ASSERT_EQ(three.size(), prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto by_itself = generate_all({prompts[i]}, settings, 1);
    for (std::size_t k = 0; k < 3; ++k) {
      expect_same(three[i][k], one[i][k]);
      EXPECT_EQ(three[i][k].score, one[i][k].score);  // the same calls with the same numbers: the same bits
      EXPECT_EQ(three[i][k].log_probability, one[i][k].log_probability);
      // Beside others sums are taken in another order: 20 tokens' logits of about 6, see Session's tests.
      const Reply& alone = by_itself[0][k];
      expect_same(alone, one[i][k]);
      EXPECT_NEAR(alone.log_probability, one[i][k].log_probability, 20 * 2e-4);
      ASSERT_EQ(alone.score.has_value(), one[i][k].score.has_value());
      if (alone.score) {
        EXPECT_NEAR(*alone.score, *one[i][k].score, expected_score(prompts[i], alone.tokens, {}).tolerance);
      }
    }
  }
}

TEST(ParallelGenerator, GoesOnFromAnyPromptWithTheSameBits) {
  std::vector<EncodedPrompt> prompts;
  for (int round = 0; round < 4; ++round) {
    for (const EncodedPrompt& prompt : some_prompts()) prompts.push_back(prompt);
  }
  GenerationSettings settings = wild(1, 20);
  settings.reward = reward();
  const auto all = generate_all(prompts, settings, 2);
  ASSERT_GT(prompts.size(), Generator::group_size(settings, prompts.size()));
  for (const std::size_t first : {std::size_t{1}, std::size_t{7}, std::size_t{40}, prompts.size()}) {
    ParallelGenerator generator(tiny(), settings, prompts, 2);
    std::size_t next = first;
    generator.generate(
        [&](std::size_t i, std::vector<Reply>&& candidates) {
          EXPECT_EQ(i, next++);
          expect_same(candidates[0], all[i][0]);
          EXPECT_EQ(candidates[0].score, all[i][0].score);
          EXPECT_EQ(candidates[0].log_probability, all[i][0].log_probability);
        },
        first);
    EXPECT_EQ(next, prompts.size());
  }
}

TEST(ParallelGenerator, CountsWhatItEvaluates) {
  const std::vector<EncodedPrompt> prompts = some_prompts();
  GenerationSettings settings = wild(3, 20);
  settings.reward = reward();
  ParallelGenerator generator(tiny(), settings, prompts, 2);
  std::uint64_t expected = 0;
  generator.generate([&](std::size_t i, std::vector<Reply>&& candidates) {
    expected += prompts[i].tokens.size();
    for (const Reply& reply : candidates) expected += reply.tokens.size();
  });
  EXPECT_EQ(generator.counts().rows, expected);  // each token once, the last ones included
}

TEST(ParallelGenerator, HandsOnWhatCameBeforeAFailure) {
  for (const int threads : {1, 3}) {
    std::vector<EncodedPrompt> prompts = some_prompts();
    prompts[5].tokens.clear();
    prompts[8].tokens.clear();
    ParallelGenerator generator(tiny(), wild(2, 10), prompts, threads);
    std::size_t seen = 0;
    EXPECT_EQ(
        error_code_of([&] { generator.generate([&](std::size_t i, std::vector<Reply>&&) { EXPECT_EQ(i, seen++); }); }),
        ErrorCode::BadInput);
    EXPECT_EQ(seen, 5u);
  }
  // An error of the one who takes the replies ends it as well.
  const std::vector<EncodedPrompt> prompts = some_prompts();
  ParallelGenerator generator(tiny(), wild(2, 10), prompts, 2);
  std::size_t calls = 0;
  EXPECT_EQ(error_code_of([&] {
              generator.generate([&](std::size_t, std::vector<Reply>&&) {
                if (++calls == 3) throw Error(ErrorCode::Io, "the disk is full");
              });
            }),
            ErrorCode::Io);
  EXPECT_EQ(calls, 3u);
}

TEST(DecodeResponse, IsTheOtherWayRound) {
  std::vector<Prompt> prompts{{{{"user", "hi"}}, ""}, {{}, "the hen"}, {}};
  for (const Prompt& prompt : prompts) {
    const EncodedPrompt encoded = tiny().encode_prompt(prompt);
    for (const std::string text :
         {"the hen", " the hen", "  two", "a\nb ", "caf\xc3\xa9 \xf0\x9f\x98\x80!", "<s>", ""}) {
      EXPECT_EQ(tiny().decode_response(encoded, tiny().encode_response(encoded, text)), text);
    }
  }
}

TEST(DecodeResponse, LeavesOutControlTokensAndMendsBytes) {
  const EncodedPrompt prompt = chat("hi");
  const auto byte = [](int value) { return static_cast<Token>(3 + value); };
  const std::vector<Token> hen = tiny().encode_response(prompt, "hen");
  std::vector<Token> tokens{260};  // <|user|>
  tokens.insert(tokens.end(), hen.begin(), hen.end());
  tokens.push_back(262);
  EXPECT_EQ(tiny().decode_response(prompt, tokens), "hen");
  EXPECT_EQ(tiny().decode_response(prompt, std::vector<Token>{byte(0xc3), byte(0xa9)}), "\xc3\xa9");
  EXPECT_EQ(tiny().decode_response(prompt, std::vector<Token>{byte('x'), byte(0xc3)}), "x\xef\xbf\xbd");
  EXPECT_EQ(error_code_of([&] { tiny().decode_response(prompt, std::vector<Token>{-1}); }), ErrorCode::Internal);
  EXPECT_EQ(error_code_of([&] { tiny().decode_response(prompt, std::vector<Token>{100000}); }), ErrorCode::Internal);
  EXPECT_TRUE(tiny().tokenizer().is_end(2));
  EXPECT_FALSE(tiny().tokenizer().is_end(300));
  EXPECT_FALSE(tiny().tokenizer().is_end(-1));
}

/// After a conversation what looks like thoughts is taken off the answer; a text is only gone on with.
TEST(DecodeResponse, LeavesWhatFollowsATextInOnePiece) {
  const std::string written = "<think>Hm.</think>Four. <think>";
  const Grammar grammar(tiny().tokenizer(), "root ::= \"" + written + "\"", "a test");
  for (const bool talks : {true, false}) {
    const EncodedPrompt prompt = talks ? chat("hi") : tiny().encode_prompt({{}, "the hen"});
    std::string streamed;
    GenerationSettings settings{.max_tokens = 60, .replies = 1, .grammar = &grammar};
    settings.on_text = [&](std::string_view text) { streamed += text; };
    const Reply reply = replies_to(prompt, settings).front();
    EXPECT_EQ(reply.text, talks ? "Four. <think>" : written);
    EXPECT_EQ(reply.reasoning, talks ? "Hm." : "");
    EXPECT_EQ(streamed, reply.text);
    EXPECT_EQ(tiny().decode_reply(prompt, reply.tokens).answer, reply.text);
  }
}

/// A model without a template has " " between "Assistant:" and the answer: the model writes it, the text goes without.
TEST(DecodeResponse, TakesTheTemplatesLeadOff) {
  COALA_NEEDS_SHARED("models/imdb-llama/imdb-llama-7m-f16.gguf");
  const Backbone imdb(shared_file("models/imdb-llama/imdb-llama-7m-f16.gguf"));
  const EncodedPrompt asked = imdb.encode_prompt({{{"user", "hi"}}, ""});
  const EncodedPrompt begun = imdb.encode_prompt({{}, "This movie"});
  EXPECT_EQ(asked.response_lead, " ");
  for (const std::string text : {"I loved it.", " twice", "\"Quoted\", caf\xc3\xa9"}) {
    EXPECT_EQ(imdb.decode_response(asked, imdb.encode_response(asked, text)), text);
  }
  EXPECT_EQ(imdb.decode_response(begun, imdb.encode_response(begun, " is good")), " is good");
}

}  // namespace
}  // namespace coala
