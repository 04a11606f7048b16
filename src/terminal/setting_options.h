#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <type_traits>

#include "core/setting.h"
#include "terminal/choice.h"

namespace coala {

/// Says what is out of a range before anything is opened.
inline CLI::Validator range_check(const Range& range, const std::string& flag) {
  const auto check = [range, flag](const std::string& text) {
    double value = 0;
    if (CLI::detail::lexical_cast(text, value)) check_range(range, value, flag, text);
    return std::string();  // what is no number is refused by CLI11
  };
  return CLI::Validator(check, range.in_words());
}

template <class Enum>
std::map<std::string, Enum> values_by_name() {
  std::map<std::string, Enum> names;
  for (const auto& [name, value] : names_of(Enum{})) names.emplace(name, value);
  return names;
}

template <class Enum>
void add_setting_option(CLI::App& command, const Setting& setting, std::optional<Enum>& value) {
  add_choice(command, "--" + setting.option_name(), value, setting.about, values_by_name<Enum>())
      ->default_str(std::string(setting.absent));
}
template <class T>
void add_setting_option(CLI::App& command, const Setting& setting, T& value) {
  const std::string flag = "--" + setting.option_name();
  if constexpr (std::is_same_v<T, bool>) {
    command.add_flag(flag, value, setting.about);
  } else if constexpr (std::is_enum_v<T>) {
    add_choice(command, flag, value, setting.about, values_by_name<T>());
  } else {
    command.add_option(flag, value, setting.about)->check(range_check(setting.range, flag))->capture_default_str();
  }
}

/// Adds an option for each setting of a struct that has one.
template <class Settings>
void add_setting_options(CLI::App& command, Settings& settings) {
  for_each_setting(settings, [&](const Setting& setting, auto& value) {
    if (setting.has_option) add_setting_option(command, setting, value);
  });
}

}  // namespace coala
