#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data/record.h"

namespace coala {

/// Two readings of the Alternating Population Strategy, which makes preferences from conversations: a tutor's
/// (assistant's) answer is better at its place than the tutor's next answer would have been.
enum class Alternation {
  /// As the paper describes it: the prompt is everything up to and including a student's turn, chosen is the tutor's
  /// turn that follows, rejected the tutor's turn after that. T such turns give T - 1 pairs. A turn of the tutor before
  /// the first of the student answers nothing: it is context. Consecutive turns of one speaker are one turn (joined by
  /// a line break), since otherwise "the turn after that" could be the second half of the same answer.
  Paper,
  /// As the published code does it: pair i (from 0) has student turn i alone as prompt, tutor turn i + 1 as chosen and
  /// tutor turn (i + 2) mod T as rejected, i < min(S, T - 1) for S student and T tutor turns, nothing merged. It takes
  /// for granted that the tutor speaks first; where the student does, each chosen turn answers the next question, not
  /// the one of the prompt. Kept as it is, for comparison.
  Code,
};

/// The pairs of one conversation, made one by one: a prompt repeats all that was said before.
class AlternatingPairs {
 public:
  /// @param turns  system turns are kept as context (Paper) or left out (Code)
  AlternatingPairs(std::vector<Message> turns, Alternation alternation);

  std::size_t size() const;
  /// Prompt, chosen and rejected of pair `k` < size().
  Pair pair(std::size_t k) const;

 private:
  Alternation alternation_;
  std::vector<Message> turns_;
  std::vector<std::size_t> students_;  ///< indices of turns_
  std::vector<std::size_t> tutors_;    ///< Paper: only those that answer a student
};

}  // namespace coala
