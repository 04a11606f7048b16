// The public library by its headers alone, as a program has them.
#include <coala/lm.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace {

/// What a call throws. Anything else than coala's error fails the test.
template <class Call>
coala::Error error_of(Call&& call) {
  try {
    call();
  } catch (const coala::Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {coala::ErrorCode::Internal, ""};
}

void expect_error(const coala::Error& error, coala::ErrorCode code, const std::string& part) {
  EXPECT_EQ(error.code(), code) << error.what();
  EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
}

/// Rows whose first number decides, but of every seventh.
struct Arrays {
  static constexpr std::size_t kRows = 60;
  static constexpr std::size_t kDimension = 3;
  std::vector<float> chosen;
  std::vector<float> rejected;

  Arrays() {
    for (std::size_t i = 0; i < kRows; ++i) {
      const float better = i % 7 == 0 ? -0.7F : 0.7F;
      for (std::size_t j = 0; j < kDimension; ++j) {
        const float shift = j == 0 ? better : 0.0F;
        chosen.push_back(static_cast<float>(std::sin(static_cast<double>(7 * i + 3 * j))) + shift);
        rejected.push_back(static_cast<float>(std::cos(static_cast<double>(5 * i + j))) - shift);
      }
    }
  }
  coala::PairArrays view() const {
    return {.rows = kRows, .dimension = kDimension, .chosen = chosen, .rejected = rejected};
  }
};

std::filesystem::path test_file(const char* name) {
  return std::filesystem::path(COALA_TEST_FILES) / name;
}

const coala::Model& model() {
  static const coala::Model model({.path = test_file("tiny-llama.gguf")});
  return model;
}

coala::Dataset pairs() {
  std::vector<coala::Pair> pairs;
  const std::vector<std::string> words{"the hen", "an inn", "so tree", "ran in", "and sand"};
  for (std::size_t i = 0; i < 40; ++i) {
    coala::Pair pair;
    pair.prompt.messages = {{"user", words[i % 5] + " " + words[i / 5 % 5] + std::string(i / 25 + 1, '!')}};
    pair.chosen = words[(i + 1) % 5] + " sand";
    pair.rejected = words[(i + 2) % 5] + " hen hen";
    pairs.push_back(pair);
  }
  return coala::Dataset::of(pairs);
}

struct News : coala::NewsSink {
  std::atomic<int> progresses = 0;
  void line(const std::string&) override {}
  void warning(const std::string&) override {}
  void progress(const coala::ProgressState&) override { ++progresses; }
};

TEST(Api, BadArraysAreRefusedByRowAndColumn) {
  Arrays arrays;
  coala::PairArrays view = arrays.view();
  view.rows = 59;
  expect_error(error_of([&] { coala::Features::of_pairs(view); }), coala::ErrorCode::BadUsage,
               "'chosen' has 180 entries; expected 177");
  view.rows = std::numeric_limits<std::size_t>::max();
  expect_error(error_of([&] { coala::Features::of_pairs(view); }), coala::ErrorCode::BadUsage, "rows of dimension 3");
  arrays.rejected[3 * 7 + 2] = std::nanf("");
  expect_error(error_of([&] { coala::Features::of_pairs(arrays.view()); }), coala::ErrorCode::BadInput,
               "'rejected' has the value nan in row 7, column 2");
  const std::vector<std::int8_t> labels(Arrays::kRows, 0);
  expect_error(
      error_of([&] {
        coala::Features::of_labelled(
            {.rows = Arrays::kRows, .dimension = Arrays::kDimension, .features = arrays.chosen, .labels = labels});
      }),
      coala::ErrorCode::BadInput, "the label of row 0 is 0");
}

TEST(Api, AFitIsCertifiedAndItsHeadScoresAsTheRows) {
  const Arrays arrays;
  const coala::Features features = coala::Features::of_pairs(arrays.view());
  const coala::Fit fit = coala::fit(features, {.seed = 3});
  ASSERT_TRUE(fit.certificate);
  EXPECT_LE(fit.certificate->bound, fit.certificate->objective);
  EXPECT_LE(fit.certificate->relative_gap, 1e-4);
  const coala::Scores scores = coala::score(fit.head, features);
  std::size_t right = 0;
  for (std::size_t i = 0; i < Arrays::kRows; ++i) {
    EXPECT_EQ(scores.chosen[i], fit.head.score(std::span(arrays.chosen).subspan(3 * i, 3)));
    right += scores.chosen[i] > scores.rejected[i] ? 1 : 0;
  }
  const coala::Evaluation evaluation = coala::evaluate(fit.head, features);
  EXPECT_LT(right, Arrays::kRows);
  EXPECT_DOUBLE_EQ(evaluation.accuracy.value, static_cast<double>(right) / Arrays::kRows);
  EXPECT_LE(evaluation.accuracy.low, evaluation.accuracy.value);
  EXPECT_GE(evaluation.accuracy.high, evaluation.accuracy.value);
  expect_error(error_of([&] { fit.head.score(std::vector<float>(4)); }), coala::ErrorCode::BadUsage,
               "4 features are given; the head is for 3");
  expect_error(error_of([&] { coala::fit(features, {.folds = 1}); }), coala::ErrorCode::BadUsage,
               "FitSettings::folds is 1");
}

TEST(Api, WhatIsCancelledEnds) {
  const coala::Context context;
  context.cancellation.cancel();
  expect_error(error_of([&] { coala::extract(model(), pairs(), {}, context); }), coala::ErrorCode::Interrupted, "");
  const Arrays arrays;
  expect_error(error_of([&] { coala::fit(coala::Features::of_pairs(arrays.view()), {}, context); }),
               coala::ErrorCode::Interrupted, "");
  EXPECT_GT(coala::extract(model(), pairs()).features.rows(), 0U);  // and no other call

  const coala::Context writing;
  coala::Request request;
  request.prompt.messages = {{"user", "the hen"}};
  request.max_tokens = 200;
  std::size_t pieces = 0;
  request.on_text = [&](std::string_view) {
    ++pieces;
    writing.cancellation.cancel();
    return true;
  };
  expect_error(error_of([&] { coala::generate(model(), request, writing); }), coala::ErrorCode::Interrupted, "");
  EXPECT_EQ(pieces, 1U);
}

TEST(Api, NewsGoesToWhoAskedForIt) {
  News news;
  coala::extract(model(), pairs(), {}, {.news = &news});
  EXPECT_GT(news.progresses, 0);
  const int before = news.progresses;
  coala::extract(model(), pairs());
  EXPECT_EQ(news.progresses, before);
}

TEST(Api, HeadsAreTiedToTheirModel) {
  const coala::Extraction extraction = coala::extract(model(), pairs());
  ASSERT_EQ(extraction.features.rows(), 40U);
  EXPECT_EQ(extraction.features.dimension(), model().info().dimension);
  const coala::Head head = coala::fit(extraction.features, {.model_class = coala::ModelClass::Linear}).head;
  EXPECT_TRUE(head.bound());
  const coala::Prompt prompt = pairs().pair(4).prompt;
  const std::vector<std::string> answers{pairs().pair(4).chosen, pairs().pair(4).rejected};
  const std::vector<double> scores = coala::score(model(), head, prompt, answers);
  const coala::Scores rows = coala::score(head, extraction.features);
  EXPECT_NEAR(scores[0], rows.chosen[4], 1e-4);  // another batch: sums in another order
  EXPECT_NEAR(scores[1], rows.rejected[4], 1e-4);
  // Whatever else is scored, its score is the same.
  EXPECT_EQ(coala::score(model(), head, prompt, std::span(answers).last(1)).front(), scores[1]);
  const std::vector<std::string> with_nothing{answers[0], ""};
  expect_error(error_of([&] { coala::score(model(), head, prompt, with_nothing); }), coala::ErrorCode::BadInput,
               "response 2 (counted from 1) is empty");
  expect_error(error_of([&] { coala::score(model(), head, prompt, {}); }), coala::ErrorCode::BadInput,
               "there are no responses");

  const Arrays arrays;
  const coala::Head other = coala::fit(coala::Features::of_pairs(arrays.view())).head;
  expect_error(error_of([&] { coala::score(model(), other, prompt, answers); }), coala::ErrorCode::Mismatch,
               "dimension 3");
}

TEST(Api, RequestsAreCheckedBeforeAnythingIsEvaluated) {
  coala::Request request;
  request.prompt.messages = {{"user", "the hen"}};
  const auto refused = [&](const std::string& part) {
    expect_error(error_of([&] { coala::generate(model(), request); }), coala::ErrorCode::BadUsage, part);
  };
  request.guidance = coala::Guidance::BestOfN;
  refused("Request::heads has 0 entries");
  request.guidance = coala::Guidance::None;
  request.sampling.logit_bias[1 << 30] = 1;
  refused("the vocabulary has");
  request.sampling.logit_bias.clear();
  request.samples = 0;
  refused("Request::samples is 0");
  request.samples = 2;
  request.on_text = [](std::string_view) { return true; };
  refused("Request::on_text");
  expect_error(error_of([] { coala::Model({.path = test_file("no such model.gguf")}); }), coala::ErrorCode::BadInput,
               "no such model.gguf");
}

TEST(Api, AReaderEndsAReplyAndAnEngineWritesTheSameAsOneAlone) {
  coala::Request request;
  request.prompt.messages = {{"user", "the hen"}};
  request.max_tokens = 24;
  request.sampling.temperature = 1.5;
  std::vector<std::string> alone;
  for (request.seed = 0; request.seed < 4; ++request.seed) {
    std::string streamed;
    request.on_text = [&](std::string_view text) {
      streamed += text;
      return true;
    };
    alone.push_back(coala::generate(model(), request).front().text);
    EXPECT_EQ(streamed, alone.back());
  }

  coala::Engine engine(model(), {.streams = 2});
  std::vector<std::string> together(4);
  int failures = 0;
  for (request.seed = 0; request.seed < 4; ++request.seed) {
    request.on_text = {};
    if (request.seed == 2) request.on_text = [](std::string_view) { return false; };
    engine.submit(request, [&, i = request.seed](std::vector<coala::Reply>&& replies) {
      together[i] = replies.front().text;
      EXPECT_EQ(replies.front().finish == coala::Finish::Stopped, i == 2);
    });
  }
  request.prompt.messages = {{"user", std::string(100000, 'a')}};
  engine.submit(
      request, [](std::vector<coala::Reply>&&) { FAIL(); },
      [&](const coala::Error& error) {
        ++failures;
        EXPECT_EQ(error.code(), coala::ErrorCode::BadInput);
      });
  const coala::Engine::Ticket cancelled = engine.submit(request, [](std::vector<coala::Reply>&&) { FAIL(); });
  engine.cancel(cancelled);
  while (engine.step()) {
  }
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(engine.writing() + engine.waiting(), 0U);
  for (const std::size_t i : {0, 1, 3}) EXPECT_EQ(together[i], alone[i]);
  EXPECT_LT(together[2].size(), alone[2].size());
  EXPECT_TRUE(alone[2].starts_with(together[2]));
}

TEST(Api, TwoEnginesRunAtOnce) {
  coala::Request request;
  request.prompt.messages = {{"user", "an inn"}};
  request.max_tokens = 16;
  const std::string alone = coala::generate(model(), request, {.threads = 1}).front().text;
  std::vector<std::string> texts(2);
  std::vector<std::thread> threads;
  for (std::string& text : texts) {
    threads.emplace_back([&text, request] {
      const coala::Model own({.path = test_file("tiny-llama.gguf")});
      for (int i = 0; i < 3; ++i) text = coala::generate(own, request, {.threads = 1}).front().text;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, alone);
}

}  // namespace
