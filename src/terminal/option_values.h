#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace coala {

/// What may stand behind an option.
struct OptionValues {
  std::string kind;                ///< "INT", "FLOAT", "TEXT", or the type name that the option has
  std::vector<std::string> names;  ///< the only ones that are possible; empty: any
  std::string limit;               ///< in words: "1 to 256", "above 0"; empty: none
};

/// Reads CLI11's description of it: "INT:INT in [0 - 9]", "TEXT:{a,b}".
OptionValues values_of(const CLI::Option& option);
/// Whether a kind is that of whole numbers.
bool is_whole(const std::string& kind);

}  // namespace coala
