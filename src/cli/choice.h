#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace coala {

/// The enumeration that an option chooses from, of an optional one as well. Declared only.
template <class Enum>
Enum choice_of(const Enum&);
template <class Enum>
Enum choice_of(const std::optional<Enum>&);

/// Adds an option whose value is one of a few names.
template <class Target>
CLI::Option* add_choice(CLI::App& command, const std::string& flag, Target& target, const std::string& help,
                        const std::map<std::string, decltype(choice_of(std::declval<Target&>()))>& names) {
  std::vector<std::string> list;
  std::string standard;
  for (const auto& [name, value] : names) {
    list.push_back(name);
    if (target == value) standard = name;
  }
  const auto check = [list](const std::string& name) {
    if (std::ranges::find(list, name) != list.end()) return std::string();
    return fmt::format("expected one of {}, found {}", fmt::join(list, ", "), name);
  };
  return command
      .add_option_function<std::string>(
          flag, [&target, names](const std::string& name) { target = names.at(name); }, help)
      ->check(CLI::Validator(check, fmt::format("{{{}}}", fmt::join(list, ","))))
      ->default_str(standard);
}

}  // namespace coala
