#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

namespace coala {

/// Adds an option whose value is one of a few names.
template <class Enum>
CLI::Option* add_choice(CLI::App& command, const std::string& flag, Enum& target, const std::string& help,
                        const std::map<std::string, Enum>& names) {
  std::string list;
  std::string standard;
  for (const auto& [name, value] : names) {
    list += (list.empty() ? "" : ", ") + name;
    if (value == target) standard = name;
  }
  return command
      .add_option_function<std::string>(
          flag, [&target, names](const std::string& name) { target = names.at(name); }, help + " (" + list + ")")
      ->check([names, list](const std::string& name) {
        return names.contains(name) ? std::string() : "expected one of " + list + ", found " + name;
      })
      ->default_str(standard);
}

}  // namespace coala
