#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "core/rate_estimate.h"
#include "core/resources.h"

namespace coala {

/// How a long stage is doing.
struct ProgressState {
  std::uint64_t id = 0;  ///< of the stage, different for each
  std::string stage;
  std::string unit;         ///< what is counted, in the plural ("tokens")
  std::uint64_t done = 0;   ///< units
  std::uint64_t total = 0;  ///< 0: a stage of one piece
  bool at_most = false;     ///< the stage may end before the total
  double elapsed_s = 0;
  std::optional<double> per_second;  ///< units; nothing while it is too early to say, as for the next
  std::optional<double> left_s;
  bool ended = false;
};

/// Where news goes. The library itself never prints: it is silent until a program installs one of these.
class NewsSink {
 public:
  virtual ~NewsSink() = default;
  virtual void line(const std::string& text) = 0;
  virtual void warning(const std::string& text) = 0;
  /// Called often, from any thread but by one at a time: what of it is shown is the sink's affair.
  virtual void progress(const ProgressState& state) = 0;
};

/// @param sink  null: silent. It must outlive all news.
void install_news_sink(NewsSink* sink);

/// One line of news.
void log_line(const std::string& text);
/// The same for something the user should look at.
void log_warning(const std::string& text);
/// Silences log_line and Progress (not warnings).
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
