#pragma once

#include <cstdint>
#include <string>

#include "core/resources.h"

namespace coala {

/// One line of news on standard error ("coala: ...").
void log_line(const std::string& text);
/// The same for something the user should look at ("coala: warning: ...").
void log_warning(const std::string& text);
/// Silences log_line and Progress (not warnings).
void set_quiet(bool quiet);

/// Progress of a long stage with rate and remaining time: a bar on a terminal, a plain line now and then in a log.
class Progress {
 public:
  /// @param unit  what is counted, in the plural ("tokens")
  Progress(std::string stage, std::uint64_t total, std::string unit, std::uint64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::uint64_t count);
  /// For stages whose end is estimated anew as they go.
  void set(std::uint64_t done, std::uint64_t total);
  double seconds() const;

 private:
  void show(bool last);

  std::string stage_;
  std::string unit_;
  std::uint64_t total_;
  std::uint64_t first_;
  std::uint64_t done_;
  double start_s_ = monotonic_s();
  double shown_s_ = start_s_;
  bool terminal_;
};

}  // namespace coala
