#include "terminal/reference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <vector>

#include "terminal/option_values.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// What may stand behind an option.
std::string described(const CLI::Option& option) {
  if (option.get_expected_max() == 0) return "";  // a flag
  const auto [kind, names, limit] = values_of(option);
  if (kind == kData) return "files, a folder or a pattern";
  if (kind == kInput || kind == kOutput) return kind == kInput ? "file to read" : "file to write";
  if (!names.empty()) return fmt::format("`{}`", fmt::join(names, "`, `"));
  if (limit.starts_with("SIZE")) return "bytes, or with a unit";
  const std::string noun = kind == "TEXT" ? "text" : kind == "FLOAT" ? "number" : is_whole(kind) ? "integer" : kind;
  if (limit.empty()) return noun;
  return noun + (limit.starts_with("above") ? " " : ", ") + limit;
}

std::string name_list(const std::set<CLI::Option*>& options) {
  std::vector<std::string> names;
  for (const CLI::Option* option : options) names.push_back("`" + option->get_name() + "`");
  std::sort(names.begin(), names.end());  // a set of pointers has no order of its own
  return fmt::format("{}", fmt::join(names, ", "));
}

std::string row(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!option.get_needs().empty()) text += "; needs " + name_list(option.get_needs());
  if (!option.get_excludes().empty()) text += "; not with " + name_list(option.get_excludes());
  replace_all(text, "|", "\\|");
  const std::string standard = option.get_required()              ? "required"
                               : option.get_default_str().empty() ? ""
                                                                  : "`" + option.get_default_str() + "`";
  std::string names = "`" + option.get_name() + "`";
  for (const std::string& name : option.get_snames()) names += ", `-" + name + "`";
  return fmt::format("| {} | {} | {} | {} |\n", names, described(option), standard, text);
}

}  // namespace

std::string markdown_reference(const CLI::App& app) {
  std::string text =
      "# Commands\n\n"
      "What `coala --help-markdown` prints; `coala COMMAND --help` shows one command. The exit status is 0, 2 for bad "
      "usage or bad input, 130 after an interrupt, 1 for other failures.\n";
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    text += fmt::format("\n## coala {}\n\n{}\n\n| option | value | default | |\n|---|---|---|---|\n",
                        command->get_name(), command->get_description());
    for (const CLI::Option* option : command->get_options()) {
      if (option != command->get_help_ptr()) text += row(*option);
    }
  }
  return text;
}

}  // namespace coala
