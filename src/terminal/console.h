#pragma once

#include <cstddef>
#include <cstdint>

#include "core/progress.h"

namespace coala {

/// Columns of the terminal that a descriptor leads to; 80 where it does not say.
std::size_t terminal_width(int descriptor);

/// News on standard error, each line after "coala: ": a bar for the stage on a terminal, no wider than the terminal; in
/// a log a line after some seconds, and then ever more rarely.
class Console : public NewsSink {
 public:
  Console();
  void line(const std::string& text) override;
  void warning(const std::string& text) override;
  void progress(const ProgressState& state) override;

 private:
  void end_bar();
  void show_bar(const ProgressState& state);
  void log_progress(const ProgressState& state);

  bool terminal_;
  bool bar_shown_ = false;
  std::uint64_t stage_ = 0;  ///< whose progress was told last
  bool logged_ = false;      ///< a line of this stage
  double next_line_s_ = 0;   ///< since the stage began
};

}  // namespace coala
