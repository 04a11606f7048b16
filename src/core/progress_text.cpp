#include "core/progress_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coala {
namespace {

constexpr std::size_t kWidestBar = 24;
constexpr std::size_t kNarrowestBar = 8;

/// Columns of UTF-8 text without wide or combining characters.
std::size_t columns_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

/// The beginning of a text that takes so many columns at most.
std::string cut(std::string text, std::size_t columns) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0u) == 0x80u) continue;
    if (seen++ == columns) {
      text.resize(i);
      break;
    }
  }
  return text;
}

double share_of(const ProgressState& state) {
  return std::min(1.0, static_cast<double>(state.done) / static_cast<double>(state.total));
}

/// How far the stage is: all that is known, or the share alone.
std::string position_text(const ProgressState& state, bool counts) {
  if (state.total == 0) return state.ended ? "done" : "";
  // Rounded down: 100 % is the end.
  const auto percent = static_cast<int>(100 * share_of(state));
  if (!counts) return fmt::format("{} %", percent);
  return fmt::format("{}/{}{} {} ({} %)", state.done, state.at_most && !state.ended ? "at most " : "", state.total,
                     state.unit, percent);
}

std::string time_text(const ProgressState& state) {
  if (state.ended) return fmt::format("{} in all", duration_text(state.elapsed_s));
  if (state.total == 0) return fmt::format("{} so far", duration_text(state.elapsed_s));
  if (!state.left_s || state.done >= state.total) return "";
  return fmt::format("{}{} left", state.at_most ? "at most " : "", time_left_text(*state.left_s));
}

std::string joined(const std::string& stage, std::initializer_list<std::string> parts) {
  std::string text = stage;
  const char* separator = ": ";
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    text += separator + part;
    separator = ", ";
  }
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::max(0.0, seconds) + 0.5);
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

std::string time_left_text(double seconds) {
  const double step = seconds > 3600 ? 300 : seconds > 600 ? 60 : seconds > 20 ? 5 : 1;
  const double rounded = std::max(1.0, std::round(seconds / step)) * step;
  if (rounded >= 600 && rounded < 3600) return fmt::format("{:.0f}m", rounded / 60);
  return duration_text(rounded);
}

std::string rate_text(double per_second, const std::string& unit) {
  if (!(per_second > 0)) return "";
  if (per_second >= 10) return fmt::format("{:.0f} {}/s", per_second, unit);
  if (per_second >= 1) return fmt::format("{:.1f} {}/s", per_second, unit);
  const std::string one = unit.ends_with('s') ? unit.substr(0, unit.size() - 1) : unit;
  const double each = 1 / per_second;
  return each < 10 ? fmt::format("{:.1f}s/{}", each, one) : fmt::format("{}/{}", duration_text(each), one);
}

std::string progress_text(const ProgressState& state, std::size_t columns, bool bar) {
  const std::string rate = state.per_second && !state.unit.empty() ? rate_text(*state.per_second, state.unit) : "";
  const std::string time = time_text(state);
  const std::string texts[] = {joined(state.stage, {position_text(state, true), rate, time}),
                               joined(state.stage, {position_text(state, true), time}),
                               joined(state.stage, {position_text(state, false), time}),
                               joined(state.stage, {position_text(state, false)})};
  if (columns == 0) return texts[0];
  const bool drawn = bar && state.total > 0;
  const std::size_t around = std::string_view("[] ").size();
  for (const std::string& text : texts) {
    const std::size_t taken = columns_of(text);
    if (taken > columns) continue;
    if (!drawn || taken + around + kNarrowestBar > columns) {
      if (drawn && &text == &texts[0]) continue;  // a bar says more than the rate
      return text;
    }
    const std::size_t width = std::min(kWidestBar, columns - taken - around);
    const auto filled = static_cast<std::size_t>(share_of(state) * static_cast<double>(width));
    return fmt::format("[{:=<{}}{:{}}] {}", "", filled, "", width - filled, text);
  }
  // The name gives way: how far it is says more than the rest of what it is called.
  const std::string position = joined("", {position_text(state, false), state.total == 0 ? time : ""});
  const std::size_t taken = columns_of(position);
  if (taken >= columns) return cut(texts[3], columns);
  return cut(state.stage, columns - taken) + position;
}

}  // namespace coala
