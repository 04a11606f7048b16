#include "study/attention.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace coala {
namespace {

/// What a reply speaks of, and what it says of that.
struct Subject {
  std::string_view name, sentence;
};

constexpr std::array<Subject, kMostAttentionChecks> kSubjects{{
    {"a bridge", "The bridge is of stone and leads over a river that is dry in summer."},
    {"a clock", "The clock stands in the hall and is five minutes slow."},
    {"an apple", "The apple lies on the kitchen table, next to the bread."},
    {"a ladder", "The ladder leans against the wall behind the house."},
    {"a violin", "The violin has lost a string and waits to be mended."},
    {"a candle", "The candle has burnt down to half of its length."},
    {"a map", "The map shows the coast as it was a hundred years ago."},
    {"a kite", "The kite is red and has a tail of paper."},
    {"a lamp", "The lamp on the desk is the only light in the room."},
    {"a boat", "The boat is tied to a post and turns with the tide."},
    {"a hat", "The hat hangs on a nail beside the door."},
    {"a garden", "The garden lies behind a hedge and is full of beans."},
}};

}  // namespace

std::vector<AttentionCheck> attention_checks(std::size_t count, std::size_t replies, Random& random) {
  std::vector<std::size_t> order;
  for (std::size_t k = 0; k < kSubjects.size(); ++k) {
    order.insert(order.begin() + static_cast<std::ptrdiff_t>(random.below(k + 1)), k);
  }
  std::vector<AttentionCheck> checks;
  for (std::size_t c = 0; c < count; ++c) {
    AttentionCheck check;
    check.prompt = fmt::format(
        "This comparison checks that the texts are read. Please choose the reply that speaks of {}, whichever you like "
        "best.",
        kSubjects[order[c]].name);
    for (std::size_t k = 0; k < replies; ++k) {
      check.replies.emplace_back(kSubjects[order[(c + k) % order.size()]].sentence);
    }
    checks.push_back(std::move(check));
  }
  return checks;
}

}  // namespace coala
