#pragma once

#include <CLI/CLI.hpp>
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
  return command
      .add_option_function<std::string>(
          flag, [&target, names](const std::string& name) { target = names.at(name); }, help)
      ->check(CLI::IsMember(list))
      ->default_str(standard);
}

}  // namespace coala
