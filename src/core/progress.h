#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

#include "coala/progress.h"
#include "core/rate_estimate.h"
#include "core/resources.h"

namespace coala {

/// Of work that is done for nobody in particular (core/work_context.h).
/// @param sink  null: silent. It must outlive all news.
void install_news_sink(NewsSink* sink);

/// One line of news.
void log_line(const std::string& text);
/// The same for something the user should look at.
void log_warning(const std::string& text);
/// Silences log_line and Progress (not warnings) of the same.
void set_quiet(bool quiet);

/// Tells the sink of a long stage from beginning to end, also while nothing advances (by a thread of its own that wakes
/// a few times a second). Safe to use from many threads.
class Progress {
 public:
  /// @param unit   what is counted, in the plural ("tokens")
  /// @param done   units that were done before, which say nothing of the speed
  Progress(std::string stage, std::uint64_t total, std::string unit, std::uint64_t done = 0);
  /// A stage of one piece: what is known is how long it has taken.
  explicit Progress(std::string stage) : Progress(std::move(stage), 0, "") {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::uint64_t count);
  /// Units that need no work, such as those that an earlier run has done.
  void skip(std::uint64_t count);
  /// For stages whose end is estimated anew as they go.
  void set_total(std::uint64_t total);
  /// The stage may end early: its total is said to be "at most".
  void may_end_early();

 private:
  void tell(bool ended);
  void beat();

  NewsSink* const sink_;  ///< null: there is nobody to tell
  std::mutex mutex_;
  ProgressState state_;
  RateEstimate rate_;
  double start_s_ = monotonic_s();
  double told_s_ = start_s_;
  bool over_ = false;
  std::condition_variable end_;
  std::thread heart_;
};

/// Puts something before the names of all stages that begin while it lives ("fold 2 of 5: ..."). One thread begins
/// stages.
class ProgressPart {
 public:
  explicit ProgressPart(const std::string& name);
  ~ProgressPart();
  ProgressPart(const ProgressPart&) = delete;
  ProgressPart& operator=(const ProgressPart&) = delete;

 private:
  std::string before_;
};

}  // namespace coala
