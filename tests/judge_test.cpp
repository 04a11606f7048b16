#include "judge/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/atomic_file.h"
#include "core/random.h"
#include "decode/diversity.h"
#include "judge/questions.h"
#include "judge/scorer.h"
#include "judge/win_rate.h"
#include "support.h"
#include "tiny_pairs.h"

namespace coala {
namespace {

using test::error_code_of;
using test::sample_pairs;
using test::tiny;

TEST(WinRate, CountsTiesHalf) {
  const JudgedTexts texts{{1, 0.5, 0.2, 0.7}, {10, 10, 10, 10}};
  const JudgedTexts others{{0.5, 0.5, 0.4, 0.1}, {10, 10, 10, 10}};
  const WinRate wins = win_rate(texts, others, std::array<std::int64_t, 4>{1, 2, 3, 4});
  EXPECT_DOUBLE_EQ(wins.rate, 2.5 / 4);
  EXPECT_DOUBLE_EQ(wins.ties, 0.25);
  EXPECT_LT(wins.ci95.low, wins.rate);
  EXPECT_GT(wins.ci95.high, wins.rate);
}

/// A judge that likes length alone: where texts are as long as the others they win half of the time.
TEST(WinRate, AtEqualLengthsIsWhatLengthDoesNotExplain) {
  Random random(1);
  JudgedTexts texts;
  JudgedTexts others;
  std::vector<std::int64_t> prompts;
  for (int i = 0; i < 2000; ++i) {
    const auto longer = static_cast<std::int64_t>(random.below(60));  // 20 more on average
    texts.length.push_back(80 + longer);
    others.length.push_back(90);
    texts.scores.push_back(static_cast<double>(longer - 10) + 12 * random.normal());
    others.scores.push_back(0);
    prompts.push_back(i);
  }
  const WinRate wins = win_rate(texts, others, prompts);
  EXPECT_GT(wins.rate, 0.8);
  EXPECT_NEAR(wins.length_controlled, 0.5, 0.06);
}

TEST(Diversity, IsCountedByHand) {
  // Tokens: 1 2 1 2 1 2 and 3. Different ones 3 of 7; pairs 12 and 21 of 5; runs of four 1212, 2121, 1212: one again.
  const Diversity varied = diversity(std::vector<std::vector<Token>>{{1, 2, 1, 2, 1, 2}, {3}});
  EXPECT_DOUBLE_EQ(varied.distinct_1, 3.0 / 7);
  EXPECT_DOUBLE_EQ(varied.distinct_2, 2.0 / 5);
  EXPECT_DOUBLE_EQ(varied.repetition, 1.0 / 3);
  const Diversity none = diversity({});
  EXPECT_EQ(none.distinct_1, 0);
}

Head random_head() {
  Random random(3);
  Head head;
  const std::size_t d = tiny().identity().dimension;
  head.transform = FeatureTransform::identity(d);
  head.network.theta1 = Matrix<float>(1, d);
  head.network.gates = Matrix<float>(1, d);
  for (float& weight : head.network.theta1.values()) weight = static_cast<float>(random.normal());
  head.network.theta2 = {1.0f};
  return head;
}

/// The bits of a score do not depend on what else is scored, in which order, or on how many threads; and it is what the
/// extractor's own features give, to rounding. A prompt that stands side by side is evaluated once.
TEST(Scorer, AScoreIsItsTextsAlone) {
  const Head head = random_head();
  const FeatureSettings settings{.max_length_tokens = 200};
  Scorer one(tiny(), settings, 1);
  std::vector<EncodedResponse> responses;
  for (const Pair& pair : sample_pairs(6)) {
    const std::array<std::string_view, 4> texts{pair.chosen, pair.rejected, "the hen", "another answer, longer by far"};
    FeatureCounts counts;
    for (EncodedResponse& response : one.extractor().encode(pair.prompt, texts, counts)) {
      responses.push_back(std::move(response));
    }
  }
  responses.back().prompt_tokens = 0;  // a text without a prompt
  std::vector<double> alone;
  std::vector<const EncodedResponse*> all;
  for (const EncodedResponse& response : responses) {
    all.push_back(&response);
    const EncodedResponse* const only = &response;
    alone.push_back(one.scores(head, {&only, 1}).front());
    FeatureExtractor extractor(tiny(), settings, 1);
    const double expected = head.score(extractor.pool({&only, 1}).row(0));
    EXPECT_NEAR(alone.back(), expected, 1e-4 * (1 + std::abs(expected)));
  }
  EXPECT_EQ(one.scores(head, all), alone);
  Scorer two(tiny(), settings, 2);
  EXPECT_EQ(two.scores(head, all), alone);
  std::ranges::reverse(all);
  std::ranges::reverse(alone);
  EXPECT_EQ(two.scores(head, all), alone);
  const std::uint64_t before = one.extractor().evaluator().evaluated_tokens();
  const std::array<const EncodedResponse*, 3> siblings{&responses[0], &responses[1], &responses[2]};
  one.scores(head, siblings);
  std::size_t expected = responses[0].prompt_tokens;
  for (const EncodedResponse* response : siblings) expected += response->tokens.size() - response->prompt_tokens;
  EXPECT_EQ(one.extractor().evaluator().evaluated_tokens() - before, expected);
}

std::vector<ReplyToJudge> replies(const Prompt& prompt) {
  return {{"a", &prompt, "the hen"}, {"b", &prompt, "a \"tree\"\nand über"}, {"c", &prompt, ""}};
}

TEST(CommandJudge, AsksAProgram) {
  const Prompt prompt = sample_pairs(1)[0].prompt;
  CommandJudge judge(
      "python3 -c 'import sys, json\n"
      "for line in sys.stdin:\n"
      "  row = json.loads(line); assert row[\"prompt\"][0][\"role\"] == \"user\"\n"
      "  print(json.dumps({\"score\": len(row[\"response\"])}))'",
      /*seconds_per_reply=*/60);
  EXPECT_EQ(judge.scores(replies(prompt)), (std::vector<double>{7, 17, 0}));
}

TEST(CommandJudge, HearsEachLineWhenItIsWritten) {
  const test::TemporaryFolder folder;
  const Prompt prompt = sample_pairs(1)[0].prompt;
  const std::string go = (folder / "go").string();
  CommandJudge judge("echo '{\"score\": 1}'; printf '{\"sco'; until [ -e '" + go +
                         "' ]; do sleep 0.02; done; echo 're\": 2}'; echo '{\"score\": 3}'",
                     /*seconds_per_reply=*/20);
  std::vector<double> heard;
  judge.score_each(replies(prompt), [&](std::size_t i, double score) {
    EXPECT_EQ(i, heard.size());
    heard.push_back(score);
    write_file(go, "");  // it goes on after its first line is heard
  });
  EXPECT_EQ(heard, (std::vector<double>{1, 2, 3}));
}

TEST(CommandJudge, TellsWhenItIsOutOfStep) {
  const Prompt prompt = sample_pairs(1)[0].prompt;
  for (const char* command : {"echo '{\"score\": 1}'", "for i in 1 2 3 4; do echo '{\"score\": 1}'; done"}) {
    CommandJudge judge(command, /*seconds_per_reply=*/60);
    EXPECT_THROW(judge.scores(replies(prompt)), OutOfStep) << command;
  }
}

nlohmann::ordered_json token(const char* text, double p, std::vector<std::pair<const char*, double>> others) {
  nlohmann::ordered_json json{
      {"token", text}, {"logprob", std::log(p)}, {"top_logprobs", nlohmann::ordered_json::array()}};
  for (const auto& [other, q] : others) json["top_logprobs"].push_back({{"token", other}, {"logprob", std::log(q)}});
  return json;
}

TEST(VerdictProbabilities, AreThoseOfTheTokenThatBeginsTheLastVerdict) {
  using Json = nlohmann::ordered_json;
  Json tokens = Json::array({token("Not [[2]], so\n[[", 0.9, {}),
                             token("1", 0.6, {{"1", 0.6}, {" 2", 0.3}, {"3", 0.05}}), token("]]", 1, {})});
  auto of = verdict_probabilities(tokens);
  ASSERT_TRUE(of);
  EXPECT_NEAR(of->first, 0.6, 1e-12);
  EXPECT_NEAR(of->second, 0.3, 1e-12);
  EXPECT_EQ(of->tie, 0);
  // The brackets in one token with the verdict; what was said is not among the alternatives.
  tokens =
      Json::array({token("It is", 1, {}), token(" [[t", 0.5, {{" [[1", 0.2}, {" [[T", 0.1}, {"1", 0.1}, {" [2", 0.1}}),
                   token("ie]]\n", 1, {})});
  of = verdict_probabilities(tokens);
  ASSERT_TRUE(of);
  EXPECT_NEAR(of->first, 0.2, 1e-12);
  EXPECT_EQ(of->second, 0);
  EXPECT_NEAR(of->tie, 0.6, 1e-12);
}

TEST(VerdictProbabilities, NothingWithoutAVerdictOrTokens) {
  using Json = nlohmann::ordered_json;
  EXPECT_FALSE(verdict_probabilities(Json()));
  EXPECT_FALSE(verdict_probabilities(Json::array()));
  EXPECT_FALSE(verdict_probabilities(Json::array({token("[[", 1, {}), token("1", 0.5, {})}))) << "not closed";
  EXPECT_FALSE(
      verdict_probabilities(Json::array({token("[[", 1, {}), token("3", 0.5, {{"1", 0.5}}), token("]]", 1, {})})));
  EXPECT_FALSE(verdict_probabilities(Json::array({token("[[", 1, {}), "1", token("]]", 1, {})})));
}

TEST(CommandJudge, TakesARuleThatIsKeptOrNot) {
  const Prompt prompt = sample_pairs(1)[0].prompt;
  CommandJudge judge("printf '{\"score\": true}\\n{\"score\": false}\\n{\"score\": 0.5}\\n'", /*seconds_per_reply=*/60);
  EXPECT_EQ(judge.scores(replies(prompt)), (std::vector<double>{1, 0, 0.5}));
}

TEST(CommandJudge, SaysWhatIsWrongWithIt) {
  const Prompt prompt = sample_pairs(1)[0].prompt;
  for (const char* command : {"exit 3", "kill -9 $$", "echo nonsense", "echo '{\"score\": \"high\"}'",
                              "echo '{\"score\": 1}'", "no-such-program-at-all 2>/dev/null"}) {
    CommandJudge judge(command, /*seconds_per_reply=*/60);
    EXPECT_EQ(error_code_of([&] { judge.scores(replies(prompt)); }), ErrorCode::BadInput) << command;
  }
}

TEST(HeadJudge, ScoresAsTheHeadDoes) {
  const Pair pair = sample_pairs(1)[0];
  Head head;
  head.transform = FeatureTransform::identity(32);
  head.network.theta1 = Matrix<float>(1, 32);
  for (std::size_t j = 0; j < 32; ++j) head.network.theta1(0, j) = j % 3 == 0 ? 1.0f : -0.5f;
  head.network.gates = Matrix<float>(1, 32);
  head.network.theta2 = {1.0f};
  HeadJudge judge(head, "h", "", tiny(), {}, 2);
  const std::vector<double> scores = judge.scores(replies(pair.prompt));
  FeatureExtractor extractor(tiny(), {}, 1);
  FeatureCounts counts;
  const std::array<std::string_view, 1> text{"the hen"};
  const std::vector<EncodedResponse> encoded = extractor.encode(pair.prompt, text, counts);
  const EncodedResponse* const response = encoded.data();
  EXPECT_NEAR(scores[0], head.score(extractor.pool({&response, 1}).row(0)), 1e-4);
  EXPECT_EQ(scores[2], std::min(scores[0], scores[1])) << "a reply without text";
}

}  // namespace
}  // namespace coala
