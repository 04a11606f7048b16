#include "terminal/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "core/messages.h"
#include "core/progress_text.h"
#include "core/utf8.h"

namespace coala {
namespace {

constexpr std::size_t kFewestColumns = 20;
constexpr std::string_view kWho = "coala: ";

/// Stages that are over before anybody wonders are not shown.
constexpr double kShownAfter_s = 0.5;

// In a log: the first line, and the time to the next as a share of the time so far, within bounds.
constexpr double kFirstLine_s = 5;
constexpr double kLineShare = 0.5;
constexpr double kLongestSilence_s = 300;

}  // namespace

std::size_t terminal_width(int descriptor) {
  constexpr std::size_t kUsualColumns = 80;
  winsize size = {};
  return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kUsualColumns;
}

Console::Console() : terminal_(::isatty(STDERR_FILENO) != 0) {}

void Console::end_bar() {
  if (bar_shown_) write_message("\n");
  bar_shown_ = false;
}

void Console::line(const std::string& text) {
  end_bar();
  write_message(fmt::format("{}{}\n", kWho, printable(text)));
}

void Console::warning(const std::string& text) {
  end_bar();
  write_message(fmt::format("{}warning: {}\n", kWho, printable(text)));
}

void Console::progress(const ProgressState& state) {
  if (state.id != stage_) {
    end_bar();
    stage_ = state.id;
    logged_ = false;
    next_line_s_ = kFirstLine_s;
  }
  if (terminal_) {
    show_bar(state);
  } else {
    log_progress(state);
  }
}

void Console::show_bar(const ProgressState& state) {
  if (!bar_shown_ && state.elapsed_s < kShownAfter_s) return;
  // The last column stays empty: some terminals go to the next line as soon as it is written to.
  const std::string text =
      progress_text(state, std::max(kFewestColumns, terminal_width(STDERR_FILENO)) - 1 - kWho.size(), /*bar=*/true);
  write_message(fmt::format("\r\033[K{}{}{}", kWho, text, state.ended ? "\n" : ""));
  bar_shown_ = !state.ended;
}

void Console::log_progress(const ProgressState& state) {
  if (state.ended ? !logged_ && state.elapsed_s < kFirstLine_s : state.elapsed_s < next_line_s_) return;
  write_message(fmt::format("{}{}\n", kWho, progress_text(state, 0, /*bar=*/false)));
  logged_ = true;
  next_line_s_ = state.elapsed_s + std::clamp(kLineShare * state.elapsed_s, kFirstLine_s, kLongestSilence_s);
}

}  // namespace coala
