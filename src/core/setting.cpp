#include "core/setting.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace coala {

bool Range::holds(double value) const {
  if (!std::isfinite(value)) return false;
  if (or_zero && value == 0) return true;
  return (above ? value > least : value >= least) && value <= most;
}

std::string Range::in_words() const {
  const std::string zero = or_zero ? "0, or " : "";
  const bool has_least = std::isfinite(least);
  const bool has_most = std::isfinite(most);
  if (!has_least && !has_most) return "";
  if (!has_least) return zero + fmt::format("at most {}", most);
  if (above) return zero + fmt::format("above {}", least) + (has_most ? fmt::format(" and at most {}", most) : "");
  return zero + (has_most ? fmt::format("{} to {}", least, most) : fmt::format("{} or more", least));
}

std::string Setting::option_name() const {
  std::string text(group);
  if (!text.empty()) text += '-';
  text += option.empty() ? json_key() : option;
  std::ranges::replace(text, '_', '-');
  return text;
}

void refuse_setting(std::string_view name, std::string_view value, std::string_view range) {
  throw Error(ErrorCode::BadUsage, fmt::format("{} is {}; it must be {}", name, value, range));
}

void check_range(const Range& range, double value, std::string_view name, std::string_view text) {
  if (range.holds(value)) return;
  const std::string words = range.in_words();
  if (std::isfinite(value)) refuse_setting(name, text, words);
  refuse_setting(name, text, words.empty() ? "a finite number" : "a finite number, " + words);
}

void check_setting(const Setting& setting, double value, std::string_view name) {
  check_range(setting.range, value, name, fmt::format("{}", value));
}

}  // namespace coala
