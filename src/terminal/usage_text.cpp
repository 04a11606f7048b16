#include "terminal/usage_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "core/utf8.h"
#include "terminal/option_values.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

/// The option that a message of CLI11's is about: it begins with its name, or has it behind `before`.
const CLI::Option* option_in(std::string_view message, std::string_view before, const CLI::App& command) {
  if (!message.starts_with(before)) return nullptr;
  message.remove_prefix(before.size());
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    const std::size_t end = name.size();
    if (message.starts_with(name) && (message.size() == end || message[end] == ':' || message[end] == ' ')) {
      return option;
    }
  }
  return nullptr;
}

/// What stands between two parts of a message; the option's last value where they are not there.
std::string found_in(std::string_view message, std::string_view before, std::string_view after,
                     const CLI::Option& option) {
  const std::size_t begin = message.find(before);
  const std::size_t end = message.rfind(after);
  if (begin != std::string_view::npos && end != std::string_view::npos && begin + before.size() <= end) {
    return std::string(message.substr(begin + before.size(), end - begin - before.size()));
  }
  return option.results().empty() ? std::string() : option.results().back();
}

std::string listed(const std::vector<std::string>& names) {
  if (names.size() == 1) return names.front();
  return fmt::format("{} or {}", fmt::join(names.begin(), names.end() - 1, ", "), names.back());
}

bool is_size(const CLI::Option& option) {
  return values_of(option).limit.starts_with("SIZE");
}

/// "a whole number, 1 to 256"
std::string possible(const CLI::Option& option) {
  const auto [kind, names, limit] = values_of(option);
  if (!names.empty()) return listed(names);
  if (is_size(option)) return "bytes, or a number with a unit such as 500MB or 2GB";
  const std::string noun = is_whole(kind)                    ? "a whole number"
                           : kind == "FLOAT"                 ? "a number"
                           : kind == kInput || kind == kData ? "a file to read"
                           : kind == kOutput                 ? "a file to write"
                           : kind == "TEXT"                  ? "a text"
                                                             : kind;
  if (limit.empty()) return noun;
  return noun + (limit.starts_with("above") ? " " : ", ") + limit;
}

}  // namespace

std::string usage_text(const CLI::ParseError& error, const CLI::App* command) {
  const std::string message = error.what();
  if (command == nullptr) return message;
  const auto must_be = [](const CLI::Option& option, const std::string& found) {
    if (option.get_expected_max() == 0) return fmt::format("{} takes no value", option.get_name());
    if (is_size(option)) return fmt::format("{} must be {}", option.get_name(), possible(option));  // found in parts
    return fmt::format("{} is {}; it must be {}", option.get_name(), quoted_text(found), possible(option));
  };
  constexpr std::string_view kConversion = "Could not convert: ";
  if (const CLI::Option* option = option_in(message, kConversion, *command)) {
    return must_be(*option,
                   message.substr(kConversion.size() + option->get_name().size() + std::string_view(" = ").size()));
  }
  const CLI::Option* const option = option_in(message, "", *command);
  if (option == nullptr) return message;
  const std::string name = option->get_name();
  if (dynamic_cast<const CLI::ValidationError*>(&error) != nullptr) {
    const bool by_name = !values_of(*option).names.empty();
    return must_be(*option, by_name ? found_in(message, name + ": ", " not in {", *option)
                                    : found_in(message, name + ": Value ", " not in range ", *option));
  }
  if (dynamic_cast<const CLI::RequiresError*>(&error) != nullptr) {
    return fmt::format("{} needs {} beside it", name, message.substr(message.rfind(' ') + 1));
  }
  if (dynamic_cast<const CLI::ExcludesError*>(&error) != nullptr) {
    return fmt::format("{} does not go with {}", name, message.substr(message.rfind(' ') + 1));
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    if (option->get_expected_max() == 0) return fmt::format("{} takes no value", name);
    const bool more = message.find("At Most") != std::string::npos;
    return more ? fmt::format("{} is given {} times; one value is possible", name, option->results().size())
                : fmt::format("{} has no value behind it; it must be {}", name, possible(*option));
  }
  return message;
}

}  // namespace coala
