#include "lm/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/random.h"
#include "lm/accelerator.h"
#include "lm/hidden_states.h"
#include "support.h"
#include "tiny_variants.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;
using test::test_file;

const Backbone& tiny() {
  static const Backbone backbone(test_file("tiny-llama.gguf"));
  return backbone;
}

std::vector<Token> random_tokens(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<Token> tokens;
  while (tokens.size() < count) tokens.push_back(static_cast<Token>(3 + random.below(tiny().tokenizer().size() - 3)));
  return tokens;
}

std::vector<Token> joined(std::vector<Token> a, std::span<const Token> b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct Kept {
  std::vector<float> logits;
  std::vector<float> state;
};

Kept keep(const Session::Output& output) {
  return {{output.logits.begin(), output.logits.end()}, {output.state.begin(), output.state.end()}};
}

/// What a sequence's last token gives when the sequence is evaluated by itself.
Kept alone(const std::vector<Token>& tokens) {
  Session session(tiny(), {.cells = 256});
  return keep(session.start(0, tokens));
}

/// As in lm_test.cpp: two correct float32 evaluations differ by 2e-5 per layer, and layers add in squares.
const double kRounding = 2e-5 * std::sqrt(2.0);

void expect_near(std::span<const float> x, std::span<const float> y, const std::string& what) {
  ASSERT_EQ(x.size(), y.size());
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += std::pow(static_cast<double>(x[i]) - y[i], 2);
    size += std::pow(static_cast<double>(y[i]), 2);
  }
  EXPECT_GT(size, 0);
  EXPECT_LE(std::sqrt(difference), kRounding * std::sqrt(size)) << what;
}

void expect_near(const Kept& x, const Kept& y, const std::string& what) {
  expect_near(x.logits, y.logits, what + ", logits");
  expect_near(x.state, y.state, what + ", state");
}

TEST(Session, StatesAreThoseOfExtraction) {
  const auto tokens = random_tokens(150, 1);  // three blocks of prompt rows with outputs
  std::vector<std::vector<float>> expected;
  StateEvaluator evaluator(tiny(), {.longest_tokens = 256, .threads = 1});
  const TokenSequence sequence = tokens;
  evaluator.evaluate({&sequence, 1}, [&](std::size_t, std::size_t, std::span<const float> state) {
    expected.emplace_back(state.begin(), state.end());
  });
  Session session(tiny(), {.cells = 256});
  std::size_t seen = 0;
  const Kept last = keep(session.start(0, tokens, [&](std::size_t position, std::span<const float> state) {
    EXPECT_EQ(position, seen++);
    expect_near(state, expected[position], "token " + std::to_string(position));
  }));
  EXPECT_EQ(seen, tokens.size());
  expect_near(last.state, expected.back(), "last");
  // Without somebody who looks, only the last row has outputs; it is the same.
  expect_near(keep(session.start(0, tokens)), last, "silent prompt");
  EXPECT_EQ(session.counts().rows, 300u);
  EXPECT_EQ(session.counts().output_rows, 151u);
  EXPECT_EQ(session.counts().decodes, 3u + 2u);
  EXPECT_EQ(session.counts().attention_pairs, 2u * 150 * 151 / 2);
  for (std::size_t t = 1; t <= 3; ++t) {
    const Kept prefix = keep(session.start(0, std::span(tokens).first(t)));
    expect_near(prefix.state, expected[t - 1], "prompt of " + std::to_string(t));
  }
}

TEST(Session, ForksEqualSeparateSequences) {
  const auto prompt = random_tokens(40, 2);
  constexpr int kForks = 6;
  constexpr std::size_t kLongest = 20;
  std::vector<std::vector<Token>> branches;
  for (int b = 0; b < kForks; ++b) branches.push_back(random_tokens(kLongest - static_cast<std::size_t>(b), 10 + b));
  Session session(tiny(), {.sequences = kForks, .cells = 40 + kForks * kLongest});
  const Kept first = keep(session.start(0, prompt));
  expect_near(first, alone(prompt), "prompt");
  for (int b = 1; b < kForks; ++b) session.fork(0, b);
  for (std::size_t t = 0; t < kLongest; ++t) {
    std::vector<Session::Row> rows;
    for (int b = kForks - 1; b >= 0; --b) {  // an order other than that of the sequences
      const auto& branch = branches[static_cast<std::size_t>(b)];
      if (t == branch.size()) session.drop(b);
      if (t < branch.size()) rows.push_back({b, branch[t]});
    }
    std::vector<Kept> outputs;
    for (const Session::Output& output : session.step(rows)) outputs.push_back(keep(output));
    ASSERT_EQ(outputs.size(), rows.size());
    for (std::size_t r = 0; r < rows.size(); ++r) {
      const auto& branch = branches[static_cast<std::size_t>(rows[r].sequence)];
      EXPECT_EQ(session.length_tokens(rows[r].sequence), prompt.size() + t + 1);
      expect_near(outputs[r], alone(joined(prompt, std::span(branch).first(t + 1))),
                  "sequence " + std::to_string(rows[r].sequence) + ", token " + std::to_string(t));
    }
  }
  // A sequence that was dropped may be used again, also as a copy of a longer one.
  session.fork(0, 5);
  EXPECT_EQ(session.length_tokens(5), 60u);
  const Session::Row row{5, 7};
  const Kept again = keep(session.step({&row, 1}).front());
  expect_near(again, alone(joined(joined(prompt, branches[0]), std::vector<Token>{7})), "a copy in its middle");
}

TEST(Session, LosesNoCells) {
  const auto prompt = random_tokens(30, 3);
  Session session(tiny(), {.sequences = 5, .cells = 60});
  session.start(0, prompt);
  Kept first;
  // 1,500 rounds of 4 branches with 2 tokens each go through a cache that holds some 250.
  for (int round = 0; round < 1500; ++round) {
    for (int s = 1; s < 5; ++s) session.fork(0, s);
    Kept last;
    for (const Token token : {11, 12}) {
      const std::vector<Session::Row> rows{{1, token}, {2, token + 1}, {3, token + 2}, {4, token + 3}};
      last = keep(session.step(rows).back());
    }
    for (int s = 1; s < 5; ++s) session.drop(s);
    if (round == 0) first = last;
    if (round % 100 == 99) expect_near(last, first, "round " + std::to_string(round));
  }
  EXPECT_EQ(session.counts().decodes, 2u + 3000u);
}

/// What a copy still shares after it was dropped must follow what becomes of the original: it goes on, becomes one of
/// its copies, loses its end, is started anew.
TEST(Session, CopiesFollowTheirOriginal) {
  const auto prompt = random_tokens(20, 7);
  Session session(tiny(), {.sequences = 4, .cells = 256});
  std::vector<Token> text = prompt;
  session.start(0, prompt);
  Random random(8);
  const auto next = [&] { return static_cast<Token>(3 + random.below(tiny().tokenizer().size() - 3)); };
  const auto check = [&](const std::string& what) {
    for (int s = 1; s < 4; ++s) {
      session.fork(0, s);
      const Session::Row row{s, static_cast<Token>(20 + s)};
      const Kept copy = keep(session.step({&row, 1}).front());
      expect_near(copy, alone(joined(text, std::vector<Token>{row.token})), what + ", copy " + std::to_string(s));
    }
  };
  for (int round = 0; round < 60; ++round) {
    check("round " + std::to_string(round));
    const int winner = 1 + static_cast<int>(random.below(3));
    if (round % 3 == 0) {  // one of the copies becomes the text
      session.fork(winner, 0);
      text.push_back(static_cast<Token>(20 + winner));
    }
    if (round % 5 != 4) {
      for (int s = 1; s < 4; ++s) session.drop(s);
    }
    if (round % 7 == 6) {
      session.truncate(0, text.size() - 3);
      text.resize(text.size() - 3);
    }
    if (round % 20 == 19) {
      text = random_tokens(15, 100 + static_cast<std::uint64_t>(round));
      session.start(0, text);
    }
    const Session::Row row{0, next()};
    session.step({&row, 1});
    text.push_back(row.token);
  }
  for (int s = 0; s < 4; ++s) session.drop(s);
  for (int s = 0; s < 4; ++s) EXPECT_EQ(session.held_tokens(s), 0u);
}

/// Logits that are asked for later are the same to the bit, and are not evaluated before.
TEST(Session, LogitsMayComeLater) {
  const Backbone demo{std::filesystem::path(COALA_DEMO_MODEL)};
  for (const Backbone* backbone : {&tiny(), &demo}) {
    for (const int threads : {1, 2}) {
      Session at_once(*backbone, {.sequences = 4, .cells = 256, .threads = threads});
      Session later(*backbone, {.sequences = 4, .cells = 256, .threads = threads});
      const std::vector<Token> prompt{5, 6, 7, 8, 9};
      const std::vector<Session::Row> rows{{1, 10}, {2, 11}, {3, 12}};
      const std::vector<Session::Row> some{{1, 10, false}, {2, 11, true}, {3, 12, false}};
      const std::vector<Session::Row> none{{1, 14, false}, {2, 15, false}, {3, 16, false}};
      for (Session* session : {&at_once, &later}) {
        session->start(0, prompt);
        for (int s = 1; s < 4; ++s) session->fork(0, s);
      }
      const auto expected = at_once.step(rows);
      const std::uint64_t before = later.counts().output_rows;
      const auto outputs = later.step(some);
      if (has_accelerator()) {
        EXPECT_TRUE(outputs[0].logits.empty());
        EXPECT_FALSE(outputs[1].logits.empty());
        EXPECT_TRUE(outputs[2].logits.empty());
        EXPECT_EQ(later.counts().output_rows, before + 1);
      }
      for (const std::size_t i : {2u, 1u, 0u}) {
        const Kept one = keep(later.completed(outputs[i]));
        const Kept other = keep(expected[i]);
        EXPECT_EQ(one.logits, other.logits) << i;
        EXPECT_EQ(one.state, other.state) << i;
      }
      EXPECT_EQ(later.counts().output_rows, before + 3);
      const auto all_later = later.step(none);
      if (has_accelerator()) {
        EXPECT_EQ(later.counts().output_rows, before + 3);
      }
      const Kept last = keep(later.completed(all_later[2]));
      const std::vector<Session::Row> again{{1, 14}, {2, 15}, {3, 16}};
      EXPECT_EQ(last.logits, keep(at_once.step(again)[2]).logits);
      // A decode after it has its logits again.
      const Session::Row row{1, 13};
      const Kept next = keep(later.step({&row, 1}).front());
      EXPECT_EQ(next.logits, keep(at_once.step({&row, 1}).front()).logits);
    }
  }
}

/// Where the logits are more than a product with the state they are evaluated in full.
TEST(Session, LogitsWithAFactorComeAtOnce) {
  const test::TemporaryFolder folder;
  test::write_granite(folder / "granite.gguf", 4);
  const Backbone granite(folder / "granite.gguf");
  Session session(granite, {.sequences = 2, .cells = 64});
  Session plain(granite, {.sequences = 2, .cells = 64});
  const std::vector<Token> prompt{5, 6, 7};
  const Session::Row row{0, 10};
  const Session::Row later{0, 10, false};
  session.start(0, prompt);
  plain.start(0, prompt);
  const Session::Output output = session.step({&later, 1}).front();
  EXPECT_EQ(keep(session.completed(output)).logits, keep(plain.step({&row, 1}).front()).logits);
}

TEST(Session, AFullCacheIsAnError) {
  Session session(tiny(), {.sequences = 2, .cells = 256});
  session.start(0, random_tokens(200, 4));
  session.fork(0, 1);
  const std::vector<Session::Row> rows{{0, 5}, {1, 6}};
  for (int t = 0; t < 28; ++t) session.step(rows);
  EXPECT_EQ(error_code_of([&] { session.step(rows); }), ErrorCode::BadInput);
  const auto prompt = random_tokens(5, 5);
  expect_near(keep(session.start(0, prompt)), alone(prompt), "after the error");
}

TEST(Session, TheEndOfTheContextIsAnError) {
  Session session(tiny(), {.sequences = 2, .cells = 512});
  session.start(0, random_tokens(255, 6));
  const Session::Row row{0, 5};
  session.step({&row, 1});
  EXPECT_EQ(error_code_of([&] { session.step({&row, 1}); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([&] { session.start(0, random_tokens(257, 6)); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([&] { session.start(0, {}); }), ErrorCode::BadInput);
}

TEST(Session, RefusesWhatMakesNoSense) {
  const auto open = [](int sequences, std::size_t cells) {
    return error_code_of([&] { Session(tiny(), {.sequences = sequences, .cells = cells}); });
  };
  EXPECT_EQ(open(0, 10), ErrorCode::BadUsage);
  EXPECT_EQ(open(-1, 10), ErrorCode::BadUsage);
  EXPECT_EQ(open(257, 10), ErrorCode::BadUsage);
  EXPECT_EQ(open(1, 0), ErrorCode::BadUsage);
  EXPECT_EQ(open(1, 257), ErrorCode::BadUsage);

  Session session(tiny(), {.sequences = 2, .cells = 100});
  const auto step = [&](std::vector<Session::Row> rows) { return error_code_of([&] { session.step(rows); }); };
  EXPECT_EQ(step({{0, 5}}), ErrorCode::Internal);  // not started
  session.start(0, random_tokens(10, 7));
  EXPECT_EQ(step({{1, 5}}), ErrorCode::Internal);
  EXPECT_EQ(step({{2, 5}}), ErrorCode::Internal);
  EXPECT_EQ(step({{-1, 5}}), ErrorCode::Internal);
  EXPECT_EQ(step({{0, 5}, {0, 6}}), ErrorCode::Internal);
  EXPECT_EQ(step({{0, 100000}}), ErrorCode::Internal);
  EXPECT_EQ(step({{0, -1}}), ErrorCode::Internal);
  EXPECT_EQ(error_code_of([&] { session.fork(0, 2); }), ErrorCode::Internal);
  EXPECT_TRUE(session.step({}).empty());
  EXPECT_EQ(session.length_tokens(0), 10u);
}

/// As many sequences as llama.cpp has.
TEST(Session, HoldsAsManySequencesAsPromised) {
  Session session(tiny(), {.sequences = 256, .cells = 600});
  const auto prompt = random_tokens(20, 8);
  session.start(0, prompt);
  std::vector<Session::Row> rows{{0, 3}};
  for (int s = 1; s < 256; ++s) {
    session.fork(0, s);
    rows.push_back({s, 3 + s});
  }
  const Kept last = keep(session.step(rows).back());
  expect_near(last, alone(joined(prompt, std::vector<Token>{3 + 255})), "the last of many");
}

TEST(Session, TrainedModelForksAlike) {
  COALA_NEEDS_SHARED("models/stories260K/stories260K-f32.gguf");
  const Backbone stories(shared_file("models/stories260K/stories260K-f32.gguf"));
  const std::vector<Token> prompt = stories.encode_prompt({{}, "Once upon a time"}).tokens;
  Session one(stories, {.cells = 200});
  Session many(stories, {.sequences = 3, .cells = 300});
  Kept single = keep(one.start(0, prompt));
  Kept forked = keep(many.start(0, prompt));
  many.fork(0, 1);
  many.fork(0, 2);
  for (int t = 0; t < 60; ++t) {
    const auto greedy = [](const Kept& kept) {
      return static_cast<Token>(std::ranges::max_element(kept.logits) - kept.logits.begin());
    };
    ASSERT_EQ(greedy(forked), greedy(single)) << "token " << t;
    const Session::Row row{0, greedy(single)};
    const std::vector<Session::Row> rows{{0, 300}, {1, greedy(forked)}, {2, 301}};
    single = keep(one.step({&row, 1}).front());
    forked = keep(many.step(rows)[1]);
  }
}

}  // namespace
}  // namespace coala
