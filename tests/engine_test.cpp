#include "decode/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "decode/conversation.h"
#include "decode/generator.h"
#include "tiny_replies.h"

namespace coala {
namespace {

using namespace test;  // NOLINT

/// Lifts one token of the vocabulary; from its `limit`-th call on it makes no number.
class Lift : public LogitsProcessor {
 public:
  explicit Lift(Token token, double by, int limit = std::numeric_limits<int>::max())
      : token_(static_cast<std::size_t>(token)), by_(by), limit_(limit) {}
  void add(std::span<const float>, double scale, std::span<float> logits, ThreadPool*) const override {
    logits[token_] += ++calls_ > limit_ ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(scale * by_);
  }

 private:
  std::size_t token_;
  double by_;
  int limit_;
  mutable int calls_ = 0;
};

/// What becomes of requests.
struct Outcome {
  std::map<std::size_t, std::vector<Reply>> done;
  std::map<std::size_t, ErrorCode> failed;

  Request request(std::size_t number, const EncodedPrompt& prompt, const GenerationSettings& settings) {
    return {prompt, settings, [this, number](std::vector<Reply>&& replies) { done[number] = std::move(replies); },
            [this, number](const Error& error) { failed[number] = error.code(); }};
  }
};

void run(Engine& engine) {
  while (engine.step()) {
  }
}

std::vector<Token> tokens_of(const std::vector<Reply>& replies) {
  std::vector<Token> all;
  for (const Reply& reply : replies) all.insert(all.end(), reply.tokens.begin(), reply.tokens.end());
  return all;
}

constexpr int kBranches = 5;

EncodedPrompt prompt_of(std::size_t number) {
  return chat("the hen " + std::string(number % 5 * 7, 'a') + std::to_string(number));
}

/// Settings that differ in everything that a request has of its own.
GenerationSettings settings_of(std::size_t number, const LogitsProcessor* tilt) {
  GenerationSettings settings{.max_tokens = 4 + number * 5 % 23, .replies = 1 + static_cast<int>(number % 3)};
  settings.seed = number;
  settings.sampling.temperature = number % 4 == 0 ? 0 : 0.5 + 0.2 * static_cast<double>(number % 5);
  settings.sampling.top_k = number % 2 == 0 ? 0 : 20;
  if (number % 3 == 1) settings.stops = {"e"};
  if (number % 3 == 2) settings.reward = reward();
  if (number % 2 == 1) settings.tilt = tilt;
  return settings;
}

/// The same, guided in all ways.
GenerationSettings guided_settings_of(std::size_t number, const LogitsProcessor* tilt) {
  GenerationSettings settings = settings_of(number, tilt);
  if (number % 4 < 2) settings.reward = reward();
  if (number % 4 == 0) {
    settings.branch = BranchSettings{.scale = 3, .every = 1 + static_cast<int>(number % 3), .candidates = kBranches};
    settings.branch->look_ahead = number % 8 == 0 ? 3 : 1;
    settings.branch->score_all = number % 16 == 4;
  }
  if (number % 4 == 1) settings.continuations = 2 + static_cast<int>(number % 3);
  return settings;
}

std::vector<Token> written_alone(const EncodedPrompt& prompt, const GenerationSettings& settings) {
  return tokens_of(Generator(tiny(), settings, prompt.tokens.size(), 1, 1).generate(prompt));
}

/// Greedy, and never at an end, so that a reply has all the tokens that it may have.
GenerationSettings endless(std::size_t max_tokens) {
  GenerationSettings settings{.max_tokens = max_tokens, .sampling = {.temperature = 0}};
  for (Token token = 0; token < static_cast<Token>(tiny().identity().vocabulary); ++token) {
    if (tiny().tokenizer().is_end(token))
      settings.sampling.logit_bias[token] = -std::numeric_limits<double>::infinity();
  }
  return settings;
}

/// One request that fills all cells, and one reply for each stream, show that nothing holds any of them. A session's
/// cells are a multiple of 256: with fewer some would be missed by nobody.
constexpr std::size_t kCells = 256;
void expect_empty(Engine& engine, int streams) {
  EXPECT_EQ(engine.waiting(), 0u);
  EXPECT_EQ(engine.writing(), 0u);
  Outcome outcome;
  const EncodedPrompt prompt = prompt_of(1);
  GenerationSettings settings = endless(kCells - prompt.tokens.size());
  engine.submit(outcome.request(0, prompt, settings));
  run(engine);
  ASSERT_EQ(outcome.done.size(), 1u);
  EXPECT_EQ(tokens_of(outcome.done[0]), written_alone(prompt, settings));
  EXPECT_EQ(tokens_of(outcome.done[0]).size(), settings.max_tokens);
  settings = endless(3);
  settings.replies = streams;
  engine.submit(outcome.request(1, prompt, settings));
  engine.step();
  EXPECT_EQ(engine.writing(), static_cast<std::size_t>(streams));
  run(engine);
  EXPECT_EQ(outcome.done.size(), 2u);
}

TEST(Engine, WritesEachRequestAsItWouldAlone) {
  const Lift up(40, 2.5), down(41, -3);
  const LogitsProcessor* const tilts[] = {&up, &down};
  for (const bool shares : {false, true}) {
    Engine engine(tiny(), {.streams = 6,
                           .branches = 12,
                           .cells = 1200,
                           .prompt_rows = shares ? 5 : std::numeric_limits<std::size_t>::max(),
                           .kept_texts = shares ? 3 : 0});
    Outcome outcome;
    constexpr std::size_t kRequests = 32;
    std::vector<GenerationSettings> settings;
    for (std::size_t i = 0; i < kRequests; ++i) {
      settings.push_back(guided_settings_of(i, tilts[i / 2 % 2]));
      engine.submit(outcome.request(i, prompt_of(i), settings.back()));
      if (i % 3 == 0) engine.step();  // they come while others are written
    }
    run(engine);
    ASSERT_EQ(outcome.done.size(), kRequests);
    std::uint64_t guided = 0;
    for (std::size_t i = 0; i < kRequests; ++i) {
      EXPECT_EQ(tokens_of(outcome.done[i]), written_alone(prompt_of(i), settings[i])) << i;
      for (const Reply& reply : outcome.done[i]) guided += reply.guided_steps;
    }
    EXPECT_GT(guided, 40u);
  }
}

/// A row that only needs its state leaves the output matrix out of the decode; the others get their logits all the
/// same.
TEST(Engine, BranchesAndPlainRepliesShareDecodes) {
  Engine engine(tiny(), {.streams = 4, .branches = kBranches, .cells = 800});
  Outcome outcome;
  GenerationSettings branched = endless(30);
  branched.reward = reward();
  branched.branch = BranchSettings{.every = 1, .candidates = kBranches, .top_p = 1, .score_all = true};
  engine.submit(outcome.request(0, prompt_of(0), branched));
  for (std::size_t i = 1; i < 4; ++i) engine.submit(outcome.request(i, prompt_of(i), endless(30)));
  run(engine);
  ASSERT_EQ(outcome.done.size(), 4u);
  // Four prompts in two decodes each, and then one decode per token of all.
  EXPECT_LE(engine.counts().decodes, 4 * 2 + 30u);
  EXPECT_EQ(tokens_of(outcome.done[0]), written_alone(prompt_of(0), branched));
  for (std::size_t i = 1; i < 4; ++i) EXPECT_EQ(tokens_of(outcome.done[i]), written_alone(prompt_of(i), endless(30)));
}

/// What two prompts have in common is evaluated once, whoever asks, for as long as there is room for it.
TEST(Engine, EvaluatesCommonBeginningsOnce) {
  constexpr std::size_t kCommon = 100;
  EncodedPrompt first = long_prompt(kCommon + 20);
  EncodedPrompt second = first;
  for (std::size_t i = kCommon; i < second.tokens.size(); ++i) second.tokens[i] = 7;
  const GenerationSettings settings = endless(10);
  Engine engine(tiny(), {.streams = 4, .cells = 600, .kept_texts = 3});
  Outcome outcome;
  const auto rows_of = [&](std::size_t number, const EncodedPrompt& prompt) {
    const std::uint64_t before = engine.counts().rows;
    engine.submit(outcome.request(number, prompt, settings));
    run(engine);
    EXPECT_EQ(tokens_of(outcome.done[number]), written_alone(prompt, settings)) << number;
    return engine.counts().rows - before - (settings.max_tokens - 1);
  };
  EXPECT_EQ(rows_of(0, first), kCommon + 20);
  EXPECT_EQ(rows_of(1, second), 20u);
  EXPECT_EQ(rows_of(2, prompt_of(1)), prompt_of(1).tokens.size() - 1) << "all but the token that begins every text";
  EXPECT_EQ(rows_of(3, first), 1u) << "all but the last token, which the reply goes on from";
  // Two at once: the second waits for its own part alone.
  EncodedPrompt third = second;
  third.tokens[kCommon - 1] = 8;
  EncodedPrompt fourth = third;
  fourth.tokens[kCommon + 10] = 9;
  const std::uint64_t before = engine.counts().rows;
  engine.submit(outcome.request(4, third, settings));
  engine.submit(outcome.request(5, fourth, settings));
  engine.step();
  EXPECT_EQ(engine.writing(), 2u);
  EXPECT_EQ(engine.counts().rows - before, (21 + 10) + 2u);
  run(engine);
  EXPECT_EQ(tokens_of(outcome.done[4]), written_alone(third, settings));
  EXPECT_EQ(tokens_of(outcome.done[5]), written_alone(fourth, settings));
  // A request that needs all cells gets them.
  const EncodedPrompt longest = long_prompt(kContext - 40);
  GenerationSettings many = endless(40);
  many.replies = 4;
  engine.submit(outcome.request(6, longest, many));
  run(engine);
  EXPECT_EQ(tokens_of(outcome.done[6]), written_alone(longest, many));
}

/// A place that a text has left is good for a prompt that has nothing in common with any, and for one whose states are
/// all wanted.
TEST(Engine, KeptTextsGiveTheirPlaces) {
  for (const bool wants_states : {false, true}) {
    Engine engine(tiny(), {.streams = 3, .cells = 400, .kept_texts = 2});
    Outcome outcome;
    const GenerationSettings settings = endless(20);
    engine.submit(outcome.request(0, prompt_of(0), settings));
    run(engine);
    const Engine::Ticket second = engine.submit(outcome.request(1, prompt_of(1), settings));
    engine.step();
    engine.cancel(second);
    EncodedPrompt other = prompt_of(2);
    if (!wants_states) other.tokens.erase(other.tokens.begin());  // another token than all the others begin with
    GenerationSettings scored = settings;
    scored.reward = reward(Pooling::Mean, wants_states ? PoolOver::All : PoolOver::Response);
    engine.submit(outcome.request(2, other, scored));
    engine.submit(outcome.request(3, prompt_of(3), settings));
    run(engine);
    EXPECT_TRUE(outcome.failed.empty());
    EXPECT_EQ(tokens_of(outcome.done[2]), written_alone(other, scored));
    EXPECT_EQ(tokens_of(outcome.done[3]), written_alone(prompt_of(3), settings));
  }
}

/// More candidates than streams, ends at different times, texts that are kept, and no cell to spare.
TEST(Engine, KeptRepliesTakeNoCellsFromOthers) {
  Engine engine(tiny(), {.streams = 3, .cells = kCells, .prompt_rows = 20, .kept_texts = 3});
  Outcome outcome;
  std::vector<GenerationSettings> settings;
  for (std::size_t i = 0; i < 24; ++i) {
    settings.push_back({.max_tokens = 50 + i % 3 * 20, .replies = 1 + static_cast<int>(i % 5), .seed = i});
    settings.back().sampling = {.temperature = 1.2, .top_p = 1, .top_k = 0};
    engine.submit(outcome.request(i, prompt_of(i), settings.back()));
    if (i % 2 == 0) engine.step();
  }
  run(engine);
  EXPECT_TRUE(outcome.failed.empty());
  ASSERT_EQ(outcome.done.size(), 24u);
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(tokens_of(outcome.done[i]), written_alone(prompt_of(i), settings[i]));
  expect_empty(engine, 3);
}

TEST(Engine, AFailureEndsItsRequestAndNoOther) {
  Engine engine(tiny(), {.streams = 8, .cells = 900});
  Outcome outcome;
  const GenerationSettings good{.max_tokens = 30, .replies = 2, .seed = 3};
  GenerationSettings infinite = good;
  infinite.sampling.logit_bias[3] = 1e39;
  const Lift fails_later(40, 1, 7);
  GenerationSettings later = good;
  later.tilt = &fails_later;
  engine.submit(outcome.request(0, prompt_of(0), good));
  engine.submit(outcome.request(1, prompt_of(1), infinite));
  engine.submit(outcome.request(2, prompt_of(2), later));
  engine.submit(outcome.request(3, EncodedPrompt{}, good));
  EncodedPrompt longest = prompt_of(4);
  longest.tokens.resize(kContext, longest.tokens.back());
  engine.submit(outcome.request(4, longest, good));
  engine.submit(outcome.request(5, prompt_of(5), good));
  GenerationSettings senseless = good;
  senseless.max_tokens = 0;
  EXPECT_EQ(error_code_of([&] { engine.submit(outcome.request(6, prompt_of(6), senseless)); }), ErrorCode::BadUsage);
  run(engine);
  EXPECT_EQ(
      outcome.failed,
      (std::map<std::size_t, ErrorCode>{
          {1, ErrorCode::BadInput}, {2, ErrorCode::BadInput}, {3, ErrorCode::BadInput}, {4, ErrorCode::BadInput}}));
  ASSERT_EQ(outcome.done.size(), 2u);
  for (const std::size_t i : {0u, 5u}) EXPECT_EQ(tokens_of(outcome.done[i]), written_alone(prompt_of(i), good)) << i;
}

TEST(Engine, NothingIsLeftOfARandomProgram) {
  Random random(5);
  Engine engine(tiny(), {.streams = 5, .branches = 8, .cells = kCells, .prompt_rows = 9, .kept_texts = 2});
  Outcome outcome;
  std::vector<Engine::Ticket> tickets;
  std::vector<std::unique_ptr<Lift>> lifts;
  std::size_t cancelled = 0;
  for (std::size_t i = 0; i < 2000; ++i) {
    const std::uint64_t what = random.next() % 8;
    if (what < 2) {
      lifts.push_back(std::make_unique<Lift>(40, 1, static_cast<int>(random.next() % 40)));
      GenerationSettings settings = guided_settings_of(random.next() % 64, lifts.back().get());
      settings.max_tokens = 1 + random.next() % (settings.continuations > 0 ? 20 : 90);
      tickets.push_back(engine.submit(outcome.request(i, prompt_of(i), settings)));
    } else if (what == 2 && !tickets.empty()) {
      engine.cancel(tickets[random.next() % tickets.size()]);  // maybe one that is done
      ++cancelled;
    } else {
      engine.step();
    }
  }
  run(engine);
  EXPECT_GT(outcome.done.size(), 50u);
  EXPECT_GT(outcome.failed.size(), 20u);
  EXPECT_GT(cancelled, 50u);
  expect_empty(engine, 5);
}

TEST(Engine, CancellingFreesAtOnce) {
  Engine engine(tiny(), {.streams = 2, .cells = kCells});
  Outcome outcome;
  const GenerationSettings settings{.max_tokens = 60, .replies = 2, .sampling = {.temperature = 1.5}};
  const Engine::Ticket first = engine.submit(outcome.request(0, prompt_of(0), settings));
  const Engine::Ticket second = engine.submit(outcome.request(1, prompt_of(1), settings));
  engine.step();
  EXPECT_EQ(engine.writing(), 2u);
  EXPECT_EQ(engine.waiting(), 1u);
  engine.cancel(first);
  EXPECT_EQ(engine.writing(), 0u);
  engine.step();
  EXPECT_EQ(engine.writing(), 2u);
  engine.cancel(second);
  EXPECT_FALSE(engine.step());
  EXPECT_TRUE(outcome.done.empty());
  expect_empty(engine, 2);
}

TEST(Engine, ALongPromptDelaysNoReplyByMoreThanItsRows) {
  constexpr std::size_t kRows = 16;
  Engine engine(tiny(), {.streams = 4, .cells = 600, .prompt_rows = kRows});
  Outcome outcome;
  const GenerationSettings settings = endless(40);
  for (std::size_t i = 0; i < 3; ++i) engine.submit(outcome.request(i, prompt_of(i), settings));
  while (engine.writing() < 3) engine.step();
  EncodedPrompt longer = prompt_of(3);
  longer.tokens.resize(150, longer.tokens.back());
  engine.submit(outcome.request(3, longer, settings));
  std::size_t steps = 0;
  while (engine.writing() == 3) {
    const std::uint64_t before = engine.counts().rows;
    engine.step();
    ++steps;
    EXPECT_LE(engine.counts().rows - before, kRows + 4);
    EXPECT_GE(engine.counts().rows - before, 3u) << "each reply has got its token";
  }
  EXPECT_EQ(engine.writing(), 4u);
  EXPECT_EQ(steps, (150 + kRows - 1) / kRows);
  run(engine);
  EXPECT_EQ(outcome.done.size(), 4u);
  EXPECT_EQ(tokens_of(outcome.done[3]), written_alone(longer, settings));
}

TEST(Engine, ACallbackMayCancelOthersAndWhatItThrowsComesOut) {
  for (const bool clears : {false, true}) {
    Engine engine(tiny(), {.streams = 3, .cells = kCells});
    std::vector<int> ended;
    std::vector<Engine::Ticket> tickets;
    // All three end in the same step; the first leaves nothing of the others.
    for (int i = 0; i < 3; ++i) {
      tickets.push_back(engine.submit({prompt_of(1), endless(4),
                                       [&, i](std::vector<Reply>&&) {
                                         ended.push_back(i);
                                         if (clears) engine.clear();
                                         for (const Engine::Ticket ticket : tickets) engine.cancel(ticket);
                                       },
                                       [&](const Error&) { ended.push_back(-1); }}));
    }
    run(engine);
    EXPECT_EQ(ended, std::vector<int>{0});
    expect_empty(engine, 3);
  }
  Engine engine(tiny(), {.streams = 1, .cells = kCells});
  for (const std::size_t tokens : {1u, 5u}) {
    GenerationSettings settings = endless(tokens);
    engine.submit(
        {prompt_of(1), settings, [](std::vector<Reply>&&) { throw Error(ErrorCode::Io, "the disk is full"); }, {}});
    EXPECT_EQ(error_code_of([&] { run(engine); }), ErrorCode::Io) << tokens;
    engine.clear();
    expect_empty(engine, 1);
  }
}

TEST(Engine, RefusesWhatItCannotDo) {
  EXPECT_EQ(error_code_of([] { Engine(tiny(), {.streams = 0, .cells = kCells}); }), ErrorCode::BadUsage);
  EXPECT_EQ(error_code_of([] { Engine(tiny(), {.streams = 1, .cells = kCells, .prompt_rows = 0}); }),
            ErrorCode::BadUsage);
  Engine engine(tiny(), {.streams = 1, .cells = kCells});
  EXPECT_EQ(error_code_of([] { Engine(tiny(), {.streams = 1, .branches = -1, .cells = kCells}); }),
            ErrorCode::BadUsage);
  GenerationSettings sentences;
  sentences.reward = reward();
  sentences.continuations = 2;
  EXPECT_EQ(error_code_of([&] { engine.submit({prompt_of(1), sentences, {}, {}}); }), ErrorCode::BadUsage);
  Outcome outcome;
  engine.submit(outcome.request(0, prompt_of(1), endless(kCells)));
  run(engine);
  EXPECT_EQ(outcome.done.size(), 1u) << "as long as the context";
  Engine small(tiny(), {.streams = 1, .cells = 40});
  small.submit(outcome.request(1, prompt_of(1), endless(40)));
  run(small);
  EXPECT_EQ(outcome.failed.size(), 1u) << "larger than the cache";
}

TEST(Engine, ACallbackMayAskForMore) {
  Engine engine(tiny(), {.streams = 1, .cells = 100});
  std::vector<std::vector<Token>> turns;
  const GenerationSettings settings{.max_tokens = 10};
  const std::function<void(std::vector<Reply> &&)> next = [&](std::vector<Reply>&& replies) {
    turns.push_back(tokens_of(replies));
    if (turns.size() < 3) engine.submit({prompt_of(turns.size()), settings, next, {}});
  };
  engine.submit({prompt_of(0), settings, next, {}});
  run(engine);
  ASSERT_EQ(turns.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(turns[i], written_alone(prompt_of(i), settings));
}

/// A text that grows as a conversation does: each turn costs what is new of it, and has the tokens that it has when all
/// of it is evaluated.
TEST(Conversation, EvaluatesWhatIsNewOfIt) {
  for (const int candidates : {1, 2}) {
    for (const bool stops : {false, true}) {
      Conversation conversation(tiny(), 1);
      GenerationSettings settings{.max_tokens = 12, .replies = candidates, .seed = 4};
      if (stops) settings.stops = {"e"};
      EncodedPrompt text = prompt_of(0);
      std::uint64_t rows = 0;
      for (std::size_t turn = 0; turn < 6; ++turn) {
        const std::vector<Reply> replies = conversation.write(text, settings);
        EXPECT_EQ(tokens_of(replies), written_alone(text, settings)) << turn;
        std::size_t written = 0;
        for (const Reply& reply : replies) written += reply.tokens.size() + 2;
        const std::uint64_t evaluated = conversation.counts().rows - rows;
        // The engine has room for 256 tokens. What is new is 20 tokens, the last reply, and those of this turn.
        if (turn > 0) {
          EXPECT_LE(evaluated, 20 + 12 + written) << turn;
        }
        rows = conversation.counts().rows;
        text.tokens.insert(text.tokens.end(), replies.back().tokens.begin(), replies.back().tokens.end());
        const std::vector<Token> next = chat("and the inn ran " + std::string(turn, 'x')).tokens;
        text.tokens.insert(text.tokens.end(), next.begin(), next.end());
      }
      // Another text that begins alike: what is common is used, and what is not is forgotten.
      text.tokens.resize(text.tokens.size() - 15);
      text.tokens.push_back(text.tokens[3]);
      EXPECT_EQ(tokens_of(conversation.write(text, settings)), written_alone(text, settings));
      // All but the text's last token: the end of the last reply, what of the question is left, and the new reply.
      EXPECT_GT(text.tokens.size(), 100u);
      EXPECT_LE(conversation.counts().rows - rows, 12 + 10 + 14 * static_cast<unsigned>(candidates));
      EXPECT_EQ(tokens_of(conversation.write(prompt_of(3), settings)), written_alone(prompt_of(3), settings));
    }
  }
}

TEST(Conversation, GoesOnAfterAFailureAndOutgrowsItsRoom) {
  Conversation conversation(tiny(), 1);
  GenerationSettings settings{.max_tokens = 10, .seed = 4};
  const std::vector<Token> first = tokens_of(conversation.write(prompt_of(0), settings));
  GenerationSettings infinite = settings;
  infinite.sampling.logit_bias[3] = 1e39;
  EXPECT_EQ(error_code_of([&] { conversation.write(prompt_of(0), infinite); }), ErrorCode::BadInput);
  EXPECT_EQ(tokens_of(conversation.write(prompt_of(0), settings)), first);
  // States of the prompt that nobody kept are evaluated again.
  GenerationSettings scored = settings;
  scored.reward = reward(Pooling::Mean, PoolOver::All);
  const std::vector<Reply> again = conversation.write(prompt_of(0), scored);
  EXPECT_EQ(tokens_of(again), first);
  EXPECT_NEAR(again.front().score.value(),
              Generator(tiny(), scored, 60, 1, 1).generate(prompt_of(0)).front().score.value(), 1e-4);
  settings.replies = 3;
  settings.max_tokens = 90;
  EXPECT_EQ(tokens_of(conversation.write(prompt_of(0), settings)), written_alone(prompt_of(0), settings));
  const EncodedPrompt longest = long_prompt(kContext - 1);
  EXPECT_EQ(tokens_of(conversation.write(longest, settings)), written_alone(longest, settings));
  EXPECT_EQ(error_code_of([&] { conversation.write(long_prompt(kContext), settings); }), ErrorCode::BadInput);
}

}  // namespace
}  // namespace coala
