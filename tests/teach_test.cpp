// Preferences that are learnt one by one, kept on the disk.
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

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

TEST(Teacher, TakesBackTheLessonThatIsMeant) {
  const test::TemporaryFolder folder;
  Teacher teacher(tiny(), matrix(), options_in(folder));
  EXPECT_EQ(teacher.report().last_id, "");
  const std::string first = teacher.prefer(prompt_of(1), "aaaa", "eeee").last_id;
  const std::string second = teacher.rate(prompt_of(2), "aaa", true).last_id;
  EXPECT_NE(first, second);
  EXPECT_EQ(test::error_code_of([&] { teacher.undo(first); }), ErrorCode::Mismatch);
  EXPECT_EQ(test::error_code_of([&] { teacher.undo("lesson-9"); }), ErrorCode::BadInput);
  EXPECT_EQ(teacher.report().pairs + teacher.report().ratings, 2u);
  EXPECT_EQ(teacher.undo(second).last_id, first);
  EXPECT_EQ(test::error_code_of([&] { teacher.undo(second); }), ErrorCode::BadInput) << "it is not there any more";
  EXPECT_EQ(teacher.undo(first).last_id, "");
  EXPECT_EQ(test::error_code_of([&] { teacher.undo(first); }), ErrorCode::BadInput);
}

/// A wish that nobody has any more, from the call of this number on.
struct Wish {
  int calls = 0;
  int ends_at = 0;
  StillWanted check() {
    return [this] {
      if (++calls >= ends_at) throw Error(ErrorCode::Interrupted, "nobody waits");
    };
  }
};

TEST(Teacher, KeepsNothingThatNobodyWaitsFor) {
  const test::TemporaryFolder folder;
  Teacher teacher(tiny(), matrix(), options_in(folder));
  teach(teacher, 0, 2);
  const std::string before = read_file(folder / "pairs.jsonl");
  for (const int call : {1, 2}) {  // before the lesson is looked at, and before it is kept
    Wish wish{.ends_at = call};
    EXPECT_EQ(test::error_code_of([&] { teacher.prefer(prompt_of(7), "aaaa", "eeee", wish.check()); }),
              ErrorCode::Interrupted);
    EXPECT_EQ(read_file(folder / "pairs.jsonl"), before);
    EXPECT_EQ(teacher.report().pairs, 2u);
  }
  Wish wish{.ends_at = 1};
  EXPECT_EQ(test::error_code_of([&] { teacher.undo({}, wish.check()); }), ErrorCode::Interrupted);
  EXPECT_EQ(teacher.report().pairs, 2u);
  Wish kept{.ends_at = 3};
  EXPECT_EQ(teacher.prefer(prompt_of(7), "aaaa", "eeee", kept.check()).pairs, 3u) << "nobody is asked once it is kept";
}

TEST(Teacher, LooksWhetherSomebodyWaitsWhileAnotherLessonIsLearnt) {
  const test::TemporaryFolder folder;
  Teacher teacher(tiny(), matrix(), options_in(folder));
  std::atomic<bool> has_begun{false};
  std::atomic<bool> may_end{false};
  std::thread other([&] {
    teacher.prefer(prompt_of(1), "aaaa", "eeee", [&] {
      has_begun = true;
      while (!may_end) std::this_thread::yield();
    });
  });
  while (!has_begun) std::this_thread::yield();
  Wish wish{.ends_at = 3};
  EXPECT_EQ(test::error_code_of([&] { teacher.prefer(prompt_of(2), "aaaa", "eeee", wish.check()); }),
            ErrorCode::Interrupted);
  EXPECT_EQ(wish.calls, 3);
  may_end = true;
  other.join();
  EXPECT_EQ(teacher.report().pairs, 1u);
}

TEST(Teacher, AsksForWhatItDoesNotKnow) {
  const test::TemporaryFolder folder;
  Teacher teacher(tiny(), matrix(), options_in(folder));
  const std::vector<Choices> same{{prompt_of(1), {"aaaa", "aaaa"}}};
  EXPECT_EQ(test::error_code_of([&] { teacher.next_pair(same); }), ErrorCode::BadInput);
  const std::vector<Choices> choices{{prompt_of(1), {"aaaa", "eeee", "aaaa"}}, {prompt_of(2), {"the hen", "a tree"}}};
  NextPair pair = teacher.next_pair(choices);
  EXPECT_EQ(pair.considered, 3u);
  EXPECT_EQ(pair.outlook.mean, 0) << "nothing is known yet";
  // What was answered again and again teaches less than before.
  const auto bits_of = [&](std::size_t which) {
    return teacher.next_pair(std::span(choices).subspan(which, 1)).information_bits;
  };
  const double letters = bits_of(0) / bits_of(1);
  for (int i = 0; i < 8; ++i) teacher.prefer(prompt_of(i + 10), "aaaa", "eeee");
  EXPECT_LT(bits_of(0) / bits_of(1), letters);
  pair = teacher.next_pair(std::span(choices).first(1));
  EXPECT_EQ(pair.outlook.mean > 0, choices[0].replies[pair.first] == "aaaa");
  EXPECT_EQ(teacher.report().pairs, 8u) << "a question is no lesson";
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
  Head prior;
  {
    Teacher first(tiny(), matrix(), options_in(folder));
    teach(first, 0, 8);
    prior = first.head();
  }
  TeacherOptions options = options_in(folder);
  options.pairs = folder / "more.jsonl";
  options.prior = &prior;
  Teacher teacher(tiny(), matrix(), options);
  EXPECT_EQ(teacher.head().token->weights.values()[1], prior.token->weights.values()[1]);
  ASSERT_NE(teacher.tilt(), nullptr);
  teach(teacher, 8, 16);
  EXPECT_GT(teacher.report().last_log_odds, 0) << "head and lessons foresee it";
  EXPECT_GT(teacher.report().accuracy, 0.7);
}

}  // namespace
}  // namespace coala
