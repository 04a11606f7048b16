#include "data/alternation.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace coala {
namespace {

std::vector<Message> merge_turns(std::vector<Message> turns) {
  std::vector<Message> merged;
  for (Message& turn : turns) {
    if (!merged.empty() && merged.back().role == turn.role) {
      merged.back().content += '\n';
      merged.back().content += turn.content;
    } else {
      merged.push_back(std::move(turn));
    }
  }
  return merged;
}

}  // namespace

AlternatingPairs::AlternatingPairs(std::vector<Message> turns, Alternation alternation)
    : alternation_(alternation),
      turns_(alternation == Alternation::Paper ? merge_turns(std::move(turns)) : std::move(turns)) {
  std::string_view last_speaker;  // of the student and the tutor
  for (std::size_t i = 0; i < turns_.size(); ++i) {
    const std::string& role = turns_[i].role;
    if (role == "system") continue;
    if (role == "user") {
      students_.push_back(i);
    } else if (alternation == Alternation::Code || last_speaker == "user") {
      tutors_.push_back(i);
    }
    last_speaker = role;
  }
}

std::size_t AlternatingPairs::size() const {
  if (tutors_.empty()) return 0;
  const std::size_t followed = tutors_.size() - 1;
  return alternation_ == Alternation::Paper ? followed : std::min(students_.size(), followed);
}

Pair AlternatingPairs::pair(std::size_t k) const {
  Pair pair;
  if (alternation_ == Alternation::Paper) {
    const auto end = turns_.begin() + static_cast<std::ptrdiff_t>(tutors_[k]);
    pair.prompt.messages.assign(turns_.begin(), end);
    pair.chosen = turns_[tutors_[k]].content;
    pair.rejected = turns_[tutors_[k + 1]].content;
  } else {
    pair.prompt.messages = {turns_[students_[k]]};
    pair.chosen = turns_[tutors_[k + 1]].content;
    pair.rejected = turns_[tutors_[(k + 2) % tutors_.size()]].content;
  }
  return pair;
}

}  // namespace coala
