// Preferences that are learnt one by one, kept on the disk.
#include <gtest/gtest.h>

#include <fstream>

#include "core/atomic_file.h"
#include "support.h"
#include "teach/teacher.h"

namespace coala {
namespace {

const Backbone& tiny() {
  static const Backbone backbone(test::test_file("tiny-llama.gguf"));
  return backbone;
}

std::shared_ptr<const OutputMatrix> matrix() {
  static const auto output = std::make_shared<const OutputMatrix>(tiny());
  return output;
}

Prompt prompt_of(int number) {
  return {{{"user", "question " + std::to_string(number)}}, ""};
}

TeacherOptions options_in(const test::TemporaryFolder& folder) {
  TeacherOptions options;
  options.pairs = folder / "pairs.jsonl";
  options.rank = 4;
  return options;
}

std::vector<float> logits_of(const Teacher& teacher) {
  std::vector<float> logits(tiny().identity().vocabulary, 0.0f);
  std::vector<float> state(tiny().identity().dimension, 0.5f);
  state[3] = -2;
  if (const auto tilt = teacher.tilt()) tilt->add(state, 1, logits, nullptr);
  return logits;
}

/// Lessons that like the letter a and not the letter e.
void teach(Teacher& teacher, int first, int last) {
  for (int i = first; i < last; ++i) {
    const std::string tail(static_cast<std::size_t>(i % 3 + 1), 'n');
    if (i % 4 == 3) {
      teacher.rate(prompt_of(i), i % 8 == 3 ? "aaaa" + tail : "eeee" + tail, i % 8 == 3);
    } else {
      teacher.prefer(prompt_of(i), "aaaa" + tail, "eeee" + tail);
    }
  }
}

TEST(Teacher, LearnsAndKeepsWhatItHasLearnt) {
  const test::TemporaryFolder folder;
  std::vector<float> learnt;
  LessonReport report;
  {
    Teacher teacher(tiny(), matrix(), options_in(folder));
    EXPECT_EQ(teacher.tilt(), nullptr);
    teach(teacher, 0, 16);
    report = teacher.report();
    EXPECT_EQ(report.pairs, 12u);
    EXPECT_EQ(report.ratings, 4u);
    EXPECT_GT(report.accuracy, 0.8);
    EXPECT_LT(report.interval.low, report.accuracy);
    EXPECT_GT(report.last_log_odds, 0) << "the lesson is what the others say already";
    learnt = logits_of(teacher);
  }
  // Another process finds the texts, and the numbers that were made of them.
  for (const bool numbers_are_lost : {false, true}) {
    if (numbers_are_lost) std::filesystem::remove(folder / "pairs.jsonl.lessons");
    Teacher again(tiny(), matrix(), options_in(folder));
    EXPECT_EQ(again.report().pairs, 12u);
    EXPECT_EQ(again.report().accuracy, report.accuracy);
    EXPECT_EQ(again.report().raised, report.raised) << numbers_are_lost;
    const std::vector<float> same = logits_of(again);
    for (std::size_t c = 0; c < same.size(); ++c) EXPECT_NEAR(same[c], learnt[c], 1e-4 * (1 + std::abs(learnt[c])));
  }
}

TEST(Teacher, TakesLessonsBack) {
  const test::TemporaryFolder folder;
  Teacher teacher(tiny(), matrix(), options_in(folder));
  EXPECT_EQ(test::error_code_of([&] { teacher.undo(); }), ErrorCode::BadUsage);
  teach(teacher, 0, 3);
  const std::vector<float> before = logits_of(teacher);
  const std::string pairs = teacher.exported(RecordKind::Pair);
  teach(teacher, 3, 5);  // a rating, and a pair
  EXPECT_NE(logits_of(teacher), before);
  teacher.undo();
  EXPECT_EQ(teacher.report().ratings, 1u);
  teacher.undo();
  EXPECT_EQ(teacher.report().ratings, 0u);
  EXPECT_EQ(teacher.exported(RecordKind::Pair), pairs);
  EXPECT_EQ(read_file(folder / "pairs.jsonl"), pairs);
  const std::vector<float> after = logits_of(teacher);
  for (std::size_t c = 0; c < after.size(); ++c) EXPECT_NEAR(after[c], before[c], 1e-5 * (1 + std::abs(before[c])));
}

TEST(Teacher, AnUnfinishedLineWasNeverSaid) {
  const test::TemporaryFolder folder;
  {
    Teacher teacher(tiny(), matrix(), options_in(folder));
    teach(teacher, 0, 2);
  }
  const std::string whole = read_file(folder / "pairs.jsonl");
  std::ofstream(folder / "pairs.jsonl", std::ios::app) << "{\"id\":\"lesson-3\",\"pro";
  Teacher again(tiny(), matrix(), options_in(folder));
  EXPECT_EQ(again.report().pairs, 2u);
  EXPECT_EQ(read_file(folder / "pairs.jsonl"), whole);
}

TEST(Teacher, RefusesWhatTeachesNothing) {
  const test::TemporaryFolder folder;
  Teacher teacher(tiny(), matrix(), options_in(folder));
  EXPECT_EQ(test::error_code_of([&] { teacher.prefer(prompt_of(1), "same", "same"); }), ErrorCode::BadInput);
  EXPECT_EQ(test::error_code_of([&] { teacher.prefer(prompt_of(1), "", "one"); }), ErrorCode::BadInput);
  EXPECT_EQ(test::error_code_of([&] { teacher.rate(prompt_of(1), "", true); }), ErrorCode::BadInput);
  EXPECT_EQ(teacher.report().pairs, 0u);
  EXPECT_EQ(read_file(folder / "pairs.jsonl"), "");
  std::ofstream(folder / "text.jsonl") << "no preferences\n";
  TeacherOptions options = options_in(folder);
  options.pairs = folder / "text.jsonl";
  EXPECT_EQ(test::error_code_of([&] { Teacher(tiny(), matrix(), options); }), ErrorCode::BadInput);
}

TEST(Teacher, GoesOnFromAHead) {
  const test::TemporaryFolder folder;
  TokenHead prior;
  {
    Teacher first(tiny(), matrix(), options_in(folder));
    teach(first, 0, 8);
    prior = first.head();
  }
  TeacherOptions options = options_in(folder);
  options.pairs = folder / "more.jsonl";
  options.prior = &prior;
  Teacher teacher(tiny(), matrix(), options);
  EXPECT_EQ(teacher.head().weights.values()[1], prior.weights.values()[1]);
  ASSERT_NE(teacher.tilt(), nullptr);
  teach(teacher, 8, 16);
  EXPECT_GT(teacher.report().last_log_odds, 0) << "head and lessons foresee it";
  EXPECT_GT(teacher.report().accuracy, 0.7);
}

}  // namespace
}  // namespace coala
