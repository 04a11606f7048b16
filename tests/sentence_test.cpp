// Replies that are chosen sentence by sentence.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "decode/parallel_generator.h"
#include "tiny_replies.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

const Backbone& tutor() {
  static const Backbone backbone{std::filesystem::path(COALA_DEMO_MODEL)};
  return backbone;
}

EncodedPrompt question(const std::string& text) {
  return tutor().encode_prompt({{{"user", text}}, ""});
}

/// Likes and dislikes tokens at random, so that sentences differ in score.
const Head& tutor_head() {
  static const Head head = random_head(tutor().identity().dimension, 6);
  return head;
}

GenerationSettings by_sentence(int continuations) {
  GenerationSettings settings{.max_tokens = 70, .seed = 9};
  settings.sampling = {.temperature = 1, .top_p = 0.95, .top_k = 0};
  settings.reward = RewardHead{&tutor_head(), {}};
  settings.continuations = continuations;
  return settings;
}

Reply reply_to(const EncodedPrompt& prompt, const GenerationSettings& settings) {
  return Generator(tutor(), settings, prompt.tokens.size(), 1, 1).generate(prompt).front();
}

const std::vector<std::string> kQuestions{"What is the capital of Peru?", "I am afraid. Name the French word for moon.",
                                          "Which organ pumps the blood?"};

TEST(SentenceGuidance, OneContinuationIsThePlainSampler) {
  for (const std::string& text : kQuestions) {
    const EncodedPrompt prompt = question(text);
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      GenerationSettings settings = by_sentence(1);
      settings.seed = seed;
      settings.sampling.repeat_penalty = 1.1;
      const Reply one = reply_to(prompt, settings);
      settings.continuations = 0;
      const Reply plain = reply_to(prompt, settings);
      EXPECT_EQ(one.tokens, plain.tokens);
      EXPECT_EQ(one.text, plain.text);
      EXPECT_NEAR(one.log_probability, plain.log_probability, 1e-3);
    }
  }
}

/// A sentence is judged by the whole text with it; the trace has that at the sentence's last token.
TEST(SentenceGuidance, ScoresAreThoseOfTheTextSoFar) {
  GenerationSettings settings = by_sentence(6);
  settings.trace = true;
  for (const std::string& text : kQuestions) {
    const EncodedPrompt prompt = question(text);
    const Reply reply = reply_to(prompt, settings);
    std::uint64_t judged = 0;
    for (std::size_t t = 0; t < reply.trace.size(); ++t) {
      if (!reply.trace[t].score) continue;
      ++judged;
      const auto tokens = std::span(reply.tokens).first(std::min(t + 1, reply.tokens.size()));
      const double expected = extracted_score(tutor(), tutor_head(), prompt, tokens, {});
      EXPECT_NEAR(*reply.trace[t].score, expected, 1e-4 * (1 + std::abs(expected)));
    }
    EXPECT_GT(judged, 1u);
    EXPECT_EQ(judged, reply.guided_steps);
  }
}

/// More ways to go on cannot have a worse first sentence, since the first ways are the same.
TEST(SentenceGuidance, TakesTheSentenceThatTheHeadLikesBest) {
  int better = 0;
  for (const std::string& text : kQuestions) {
    const EncodedPrompt prompt = question(text);
    double before = -std::numeric_limits<double>::infinity();
    for (const int continuations : {1, 2, 4, 8, 16}) {
      GenerationSettings settings = by_sentence(continuations);
      settings.trace = true;
      const Reply reply = reply_to(prompt, settings);
      const auto first =
          std::ranges::find_if(reply.trace, [](const DrawnToken& drawn) { return drawn.score.has_value(); });
      ASSERT_NE(first, reply.trace.end());
      EXPECT_GE(*first->score, before - 1e-4 * (1 + std::abs(before)));
      better += *first->score > before + 1e-3 ? 1 : 0;
      before = *first->score;
    }
  }
  EXPECT_GE(better, 5);  // of 15, of which three are the first ones
}

TEST(SentenceGuidance, DependsOnNeitherThreadsNorOtherPrompts) {
  std::vector<EncodedPrompt> prompts;
  for (int i = 0; i < 4; ++i) {
    for (const std::string& text : kQuestions) prompts.push_back(question(text + std::string(i, '!')));
  }
  const GenerationSettings settings = by_sentence(4);
  std::vector<std::vector<Token>> alone;
  for (const EncodedPrompt& prompt : prompts) alone.push_back(reply_to(prompt, settings).tokens);
  for (const int threads : {1, 2}) {
    ParallelGenerator generator(tutor(), settings, prompts, threads);
    generator.generate([&](std::size_t i, std::vector<Reply>&& replies) {
      EXPECT_EQ(replies.front().tokens, alone[i]) << "prompt " << i << ", " << threads << " threads";
    });
  }
}

/// A long prompt leaves room for a short reply; a short one beside it has its long reply all the same.
TEST(SentenceGuidance, WritesToLongAndShortPromptsTogether) {
  const std::size_t context = tutor().identity().context_tokens;
  EncodedPrompt longest = question(kQuestions[0]);
  longest.tokens.resize(context - 10, longest.tokens.back());
  const std::vector<EncodedPrompt> prompts{longest, question(kQuestions[1])};
  GenerationSettings settings = by_sentence(3);
  settings.max_tokens = 60;
  std::size_t written = 0;
  Generator(tutor(), settings, longest.tokens.size(), 2, 1)
      .generate(prompts, [&](std::size_t i, std::vector<Reply>&& replies) {
        ++written;
        if (i == 1) {
          EXPECT_EQ(replies.front().tokens, reply_to(prompts[1], settings).tokens);
        }
      });
  EXPECT_EQ(written, 2u);
}

/// What is shown is the reply, and no sentence before it is chosen.
TEST(SentenceGuidance, ShowsChosenSentences) {
  for (const std::string& text : kQuestions) {
    GenerationSettings settings = by_sentence(4);
    std::string shown;
    std::size_t pieces = 0;
    settings.on_text = [&](std::string_view piece) {
      shown += piece;
      ++pieces;
    };
    const Reply reply = reply_to(question(text), settings);
    EXPECT_EQ(shown, reply.text);
    EXPECT_LE(pieces, reply.guided_steps + 1);
    EXPECT_GT(pieces, 1u);
  }
}

/// Limits end continuations as they end replies.
TEST(SentenceGuidance, EndsWhereRepliesEnd) {
  const EncodedPrompt prompt = question(kQuestions[0]);
  GenerationSettings settings = by_sentence(5);
  settings.max_tokens = 7;
  const Reply cut = reply_to(prompt, settings);
  EXPECT_EQ(cut.tokens.size(), 7u);
  EXPECT_EQ(cut.finish, Finish::Length);
  settings.max_tokens = 70;
  settings.stops = {"."};
  const Reply stopped = reply_to(prompt, settings);
  EXPECT_EQ(stopped.text.find('.'), std::string::npos);
  EXPECT_EQ(stopped.finish, Finish::Stop);
  settings.reward.reset();
  EXPECT_EQ(error_code_of([&] { reply_to(prompt, settings); }), ErrorCode::BadUsage);
}

}  // namespace
}  // namespace coala
