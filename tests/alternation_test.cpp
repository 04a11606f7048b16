#include "data/alternation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace coala {
namespace {

Prompt asks(const std::string& question) {
  return {{{"user", question}}, {}};
}

void expect_pair(const Pair& pair, const Prompt& prompt, const std::string& chosen, const std::string& rejected) {
  EXPECT_EQ(pair.prompt, prompt);
  EXPECT_EQ(pair.chosen, chosen);
  EXPECT_EQ(pair.rejected, rejected);
}

// A conversation by hand: t are the tutor's turns, s the student's.
const std::vector<Message> kTutorFirst{{"assistant", "t0"}, {"user", "s0"}, {"assistant", "t1"}, {"user", "s1"},
                                       {"assistant", "t2"}, {"user", "s2"}, {"assistant", "t3"}};
const std::vector<Message> kStudentFirst{{"user", "s0"},      {"assistant", "t0"}, {"user", "s1"},
                                         {"assistant", "t1"}, {"user", "s2"},      {"assistant", "t2"}};

TEST(Alternation, PaperPairsAnAnswerWithTheNext) {
  const AlternatingPairs student(kStudentFirst, Alternation::Paper);
  ASSERT_EQ(student.size(), 2u);  // T = 3 answers
  expect_pair(student.pair(0), asks("s0"), "t0", "t1");
  expect_pair(student.pair(1), {{kStudentFirst.begin(), kStudentFirst.begin() + 3}, {}}, "t1", "t2");
  // The opening turn answers nothing, so t1, t2, t3 are the answers; it is context of each.
  const AlternatingPairs tutor(kTutorFirst, Alternation::Paper);
  ASSERT_EQ(tutor.size(), 2u);
  expect_pair(tutor.pair(0), {{kTutorFirst.begin(), kTutorFirst.begin() + 2}, {}}, "t1", "t2");
  expect_pair(tutor.pair(1), {{kTutorFirst.begin(), kTutorFirst.begin() + 4}, {}}, "t2", "t3");
}

TEST(Alternation, CodePairsByIndexAlone) {
  const AlternatingPairs tutor(kTutorFirst, Alternation::Code);
  ASSERT_EQ(tutor.size(), 3u);
  expect_pair(tutor.pair(0), asks("s0"), "t1", "t2");
  expect_pair(tutor.pair(1), asks("s1"), "t2", "t3");
  expect_pair(tutor.pair(2), asks("s2"), "t3", "t0");  // (2 + 2) mod 4
  // Off by one when the student speaks first: t1 answers s1, not s0.
  const AlternatingPairs student(kStudentFirst, Alternation::Code);
  ASSERT_EQ(student.size(), 2u);
  expect_pair(student.pair(0), asks("s0"), "t1", "t2");
  expect_pair(student.pair(1), asks("s1"), "t2", "t0");
}

TEST(Alternation, MergesTurnsAndKeepsTheSystem) {
  const std::vector<Message> turns{{"system", "y"},      {"user", "s0"}, {"user", "s0b"},    {"assistant", "t0"},
                                   {"assistant", "t0b"}, {"user", "s1"}, {"assistant", "t1"}};
  const AlternatingPairs paper(turns, Alternation::Paper);
  ASSERT_EQ(paper.size(), 1u);
  expect_pair(paper.pair(0), {{{"system", "y"}, {"user", "s0\ns0b"}}, {}}, "t0\nt0b", "t1");
  const AlternatingPairs code(turns, Alternation::Code);  // T = 3, S = 3, nothing merged
  ASSERT_EQ(code.size(), 2u);
  expect_pair(code.pair(0), asks("s0"), "t0b", "t1");
  expect_pair(code.pair(1), asks("s0b"), "t1", "t0");
  for (const Alternation alternation : {Alternation::Paper, Alternation::Code}) {
    EXPECT_EQ(AlternatingPairs({}, alternation).size(), 0u);
    EXPECT_EQ(AlternatingPairs({{"user", "s"}}, alternation).size(), 0u);
    EXPECT_EQ(AlternatingPairs({{"user", "s"}, {"assistant", "t"}}, alternation).size(), 0u);
  }
}

}  // namespace
}  // namespace coala
