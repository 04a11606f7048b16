#include "core/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/progress_text.h"
#include "core/rate_estimate.h"

namespace coala {
namespace {

/// A stage on a clock of its own: when each part ends, and what it is worth.
struct Part {
  double at_s = 0;
  double units = 1;
};

/// Largest factor by which what is said to be left is off, over every second from the first time that something is said
/// until `until` seconds before the end (what is left goes to zero, and its error's factor says nothing).
double worst_factor(const std::vector<Part>& parts, double until, double* first_said_s = nullptr) {
  RateEstimate rate(0);
  double total = 0;
  for (const Part& part : parts) total += part.units;
  const double end_s = parts.back().at_s;
  double done = 0;
  double worst = 1;
  double first = -1;
  std::size_t next = 0;
  for (double now = 0; now < end_s - until; now += 0.25) {
    for (; next < parts.size() && parts[next].at_s <= now; ++next) {
      rate.add(parts[next].at_s, parts[next].units);
      done += parts[next].units;
    }
    const std::optional<double> left = rate.seconds_left(now, total - done);
    if (!left) continue;
    if (first < 0) first = now;
    worst = std::max({worst, *left / (end_s - now), (end_s - now) / std::max(*left, 1e-9)});
  }
  if (first_said_s != nullptr) *first_said_s = first;
  return worst;
}

std::vector<Part> steady(double start_up_s, double each_s, int count) {
  std::vector<Part> parts;
  for (int k = 0; k < count; ++k) parts.push_back({start_up_s + each_s * (k + 1), 1});
  return parts;
}

TEST(RateEstimate, ASteadyStageIsForeseenExactly) {
  double first = 0;
  EXPECT_LT(worst_factor(steady(0, 1, 100), 3, &first), 1.02);
  EXPECT_GE(first, 8);
  EXPECT_LT(first, 10);
}

/// A model that loads for half a minute, then a quick stage: the start-up counts for nothing.
TEST(RateEstimate, ASlowStartDoesNotFrighten) {
  double first = 0;
  EXPECT_LT(worst_factor(steady(30, 0.5, 200), 5, &first), 1.05);
  EXPECT_GE(first, 60) << "what was measured is shorter than what it leaves out";
}

/// Replies are written fourteen at a time: all end within seconds, a minute apart. A mean over the time since the start
/// foresaw five times what was left.
TEST(RateEstimate, PartsThatEndTogetherAreForeseenWithinAFactor) {
  std::vector<Part> parts;
  for (int burst = 0; burst < 10; ++burst) {
    for (int k = 0; k < 14; ++k) parts.push_back({65.0 * (burst + 1) + 0.5 * k, 1});
  }
  EXPECT_LT(worst_factor(parts, 65), 2.2);
}

/// Speeds that scatter, as blocks of different lengths have them.
TEST(RateEstimate, ScatterIsSmoothed) {
  std::mt19937 random(1);
  std::exponential_distribution<double> gap(1);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<Part> parts;
    double at = 0;
    for (int k = 0; k < 300; ++k) parts.push_back({at += gap(random), 1});
    // Eight gaps decide at first: their sum is below a third of its mean, or above thrice, with a chance of 7e-3.
    EXPECT_LT(worst_factor(parts, 30), 3) << trial;
  }
}

/// A machine that becomes twice as slow on the way is believed after a while.
TEST(RateEstimate, FollowsAChangeOfSpeed) {
  RateEstimate rate(0);
  double at = 0;
  for (int k = 0; k < 100; ++k) rate.add(at += 0.5, 1);
  EXPECT_NEAR(*rate.per_second(at), 2, 0.01);
  for (int k = 0; k < 100; ++k) rate.add(at += 1, 1);
  EXPECT_LT(*rate.per_second(at), 1.4);
}

TEST(RateEstimate, AStallTakesTheRateDown) {
  RateEstimate rate(0);
  double at = 0;
  for (int k = 0; k < 20; ++k) rate.add(at += 1, 1);
  EXPECT_NEAR(*rate.per_second(at + 0.9), 1, 1e-9) << "the next part is not late yet";
  EXPECT_LT(*rate.per_second(at + 60), 0.3);
}

TEST(RateEstimate, AClockThatGoesBackGivesNoNonsense) {
  RateEstimate rate(100);
  double at = 100;
  for (int k = 0; k < 50; ++k) rate.add(at -= 1, 1);
  const std::optional<double> left = rate.seconds_left(at, 10);
  EXPECT_TRUE(!left || (std::isfinite(*left) && *left >= 0));
}

ProgressState state(std::uint64_t done, std::uint64_t total) {
  ProgressState state;
  state.stage = "extracting features";
  state.unit = "tokens";
  state.done = done;
  state.total = total;
  state.elapsed_s = 42;
  return state;
}

TEST(ProgressText, SaysRatesInUnitsThatMeanSomething) {
  EXPECT_EQ(rate_text(236.4, "tokens"), "236 tokens/s");
  EXPECT_EQ(rate_text(2.44, "prompts"), "2.4 prompts/s");
  EXPECT_EQ(rate_text(0.25, "prompts"), "4.0s/prompt");
  EXPECT_EQ(rate_text(0.025, "prompts"), "40s/prompt");
  EXPECT_EQ(rate_text(1.0 / 200, "fits"), "3m20s/fit");
  EXPECT_EQ(rate_text(0, "fits"), "");
}

TEST(ProgressText, SaysNoMoreThanIsKnown) {
  EXPECT_EQ(time_left_text(0), "1s");
  EXPECT_EQ(time_left_text(17.4), "17s");
  EXPECT_EQ(time_left_text(43), "45s");
  EXPECT_EQ(time_left_text(187), "3m05s");
  EXPECT_EQ(time_left_text(1750), "29m");
  EXPECT_EQ(time_left_text(9060), "2h30m");
  EXPECT_EQ(progress_text(state(10, 1000), 0, false), "extracting features: 10/1000 tokens (1 %)");
  ProgressState known = state(999, 1000);
  known.per_second = 20;
  known.left_s = 43;
  EXPECT_EQ(progress_text(known, 0, false), "extracting features: 999/1000 tokens (99 %), 20 tokens/s, 45s left");
  known.at_most = true;
  EXPECT_EQ(progress_text(known, 0, false),
            "extracting features: 999/at most 1000 tokens (99 %), 20 tokens/s, at most 45s left");
  known.ended = true;
  EXPECT_EQ(progress_text(known, 0, false), "extracting features: 999/1000 tokens (99 %), 20 tokens/s, 42s in all");
}

TEST(ProgressText, AStageOfOnePieceSaysHowLongItTakes) {
  ProgressState one = state(0, 0);
  one.unit = "";
  one.per_second = 2;
  EXPECT_EQ(progress_text(one, 0, false), "extracting features: 42s so far");
}

TEST(ProgressText, FitsEveryWidth) {
  for (const bool bar : {false, true}) {
    for (const std::uint64_t total : {0ull, 7ull, 12'345'678ull}) {
      ProgressState all = state(total / 2, total);
      all.stage = "seed 2 of 3: fold 4 of 5: gated program, choosing a penalty";
      all.at_most = true;
      all.per_second = 0.0123;
      all.left_s = 123456;
      for (std::size_t columns = 20; columns < 160; ++columns) {
        const std::string text = progress_text(all, columns, bar);
        EXPECT_LE(text.size(), columns) << text;
        EXPECT_EQ(text.find('\n'), std::string::npos);
      }
    }
  }
}

TEST(ProgressText, AStageNameOfLettersIsCutBetweenThem) {
  ProgressState one = state(1, 2);
  one.stage = "ééééééééééééééééééééééééé";
  const std::string text = progress_text(one, 20, false);
  EXPECT_EQ(text, "éééééééééééééé: 50 %") << "fourteen letters of two bytes, and how far it is";
}

TEST(ProgressText, ABarShowsTheShare) {
  const std::string text = progress_text(state(50, 100), 80, true);
  EXPECT_EQ(text, "[============            ] extracting features: 50/100 tokens (50 %)");
}

/// Remembers what it was told.
class Listener : public NewsSink {
 public:
  Listener() { install_news_sink(this); }
  ~Listener() override { install_news_sink(nullptr); }
  void line(const std::string& text) override { lines.push_back(text); }
  void warning(const std::string& text) override { warnings.push_back(text); }
  void progress(const ProgressState& state) override { states.push_back(state); }

  std::vector<std::string> lines, warnings;
  std::vector<ProgressState> states;
};

TEST(Progress, TellsWhileNothingAdvances) {
  Listener listener;
  {
    const Progress progress("waiting", 3, "parts");
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
  }
  ASSERT_GE(listener.states.size(), 2u);
  EXPECT_FALSE(listener.states.front().ended);
  EXPECT_TRUE(listener.states.back().ended);
  EXPECT_EQ(listener.states.back().done, 0u);
}

TEST(Progress, SkippedUnitsSayNothingOfTheSpeed) {
  Listener listener;
  {
    Progress progress("resumed", 1000, "tokens");
    progress.skip(900);
    progress.advance(100);
  }
  EXPECT_EQ(listener.states.back().done, 1000u);
  EXPECT_FALSE(listener.states.back().per_second);
}

TEST(Progress, PartsNameTheirStages) {
  Listener listener;
  {
    const ProgressPart fold("fold 2 of 5");
    const ProgressPart head("token head");
    const Progress progress("choosing");
  }
  { const Progress progress("after"); }
  EXPECT_EQ(listener.states.front().stage, "fold 2 of 5: token head: choosing");
  EXPECT_EQ(listener.states.back().stage, "after");
}

TEST(Progress, QuietLeavesWarnings) {
  Listener listener;
  set_quiet(true);
  log_line("news");
  log_warning("look");
  { const Progress progress("stage"); }
  set_quiet(false);
  EXPECT_TRUE(listener.lines.empty());
  EXPECT_TRUE(listener.states.empty());
  EXPECT_EQ(listener.warnings, std::vector<std::string>{"look"});
}

}  // namespace
}  // namespace coala
