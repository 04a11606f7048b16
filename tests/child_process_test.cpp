#include "lm/child_process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>

namespace coala {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMemory_bytes = std::size_t{1} << 25;
constexpr Patience kShort{.in_all = milliseconds(20'000), .computing = milliseconds(300), .stall = milliseconds(300)};

TEST(ChildProcess, ThatStallsIsMadeAnew) {
  int children = 0;
  std::string answer;
  const auto received = answer_of_child([&] {
    const bool stalls = ++children == 1;
    const ChildProcess child(kMemory_bytes, [&](const ChildProcess::Port& port) {
      if (stalls) ::pause();
      port.send("here");
    });
    return child.receive(answer, kShort);
  });
  EXPECT_EQ(received, ChildProcess::Received::Message);
  EXPECT_EQ(answer, "here");
  EXPECT_EQ(children, 2);
}

/// How children that never answer end, and how many were made.
std::pair<ChildProcess::Received, int> end_of_children(void (*action)(const ChildProcess::Port&)) {
  int children = 0;
  std::string answer;
  const auto received = answer_of_child([&] {
    ++children;
    const ChildProcess child(kMemory_bytes, action);
    return child.receive(answer, kShort);
  });
  return {received, children};
}

TEST(ChildProcess, ThatAlwaysStallsIsGivenUp) {
  const auto [received, children] = end_of_children([](const ChildProcess::Port&) { ::pause(); });
  EXPECT_EQ(received, ChildProcess::Received::Stalled);
  EXPECT_EQ(children, 3);
}

TEST(ChildProcess, ThatComputesWithoutEndIsTooLateAndNotMadeAnew) {
  const auto [received, children] = end_of_children([](const ChildProcess::Port&) {
    volatile int endless = 1;
    while (endless == 1) {
    }
  });
  EXPECT_EQ(received, ChildProcess::Received::TooLate);
  EXPECT_EQ(children, 1);
}

}  // namespace
}  // namespace coala
