#include "cli/words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/utf8.h"

namespace coala {
namespace {

/// How many letters must be changed, put in, left out or swapped with the next one to make one word of the other
/// (the restricted Damerau-Levenshtein distance).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

/// The name that the help shows first.
std::string shown_name(const CLI::Option& option) {
  return option.get_lnames().empty() ? option.get_name() : "--" + option.get_lnames().front();
}

std::vector<std::string> long_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_lnames().empty()) names.push_back(shown_name(*option));
  }
  return names;
}

[[noreturn]] void fail_unknown(std::string_view kind, const std::string& word, const std::vector<std::string>& names,
                               const std::string& hint) {
  const std::optional<std::string> meant = nearest_name(word, names);
  throw Error(ErrorCode::BadUsage, fmt::format("there is no {} {}", kind, quoted_text(word)),
              meant ? fmt::format("did you mean {}?", *meant) : hint);
}

const CLI::App& find_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->check_name(word)) return *command;
    names.push_back(command->get_name());
  }
  fail_unknown("command", word, names, fmt::format("the commands are {}", fmt::join(names, ", ")));
}

/// A value such as -1 or -.5 and not an option.
bool is_number(std::string_view word) {
  return word.size() > 1 && ((word[1] >= '0' && word[1] <= '9') || word[1] == '.');
}

/// The option that a word names, with or without a value behind it.
const CLI::Option* find_option(const CLI::App& command, const std::string& word) {
  const bool is_long = word.starts_with("--");
  const std::string name = is_long ? word.substr(2, word.find('=') - 2) : word.substr(1, 1);
  for (const CLI::Option* option : command.get_options()) {
    if (is_long ? option->check_lname(name) : option->check_sname(name)) return option;
  }
  fail_unknown("option", is_long ? "--" + name : "-" + name, long_names(command),
               fmt::format("coala {} --help lists them", command.get_name()));
}

}  // namespace

std::optional<std::string> nearest_name(std::string_view word, std::span<const std::string> names) {
  constexpr std::size_t kLongest = 40;  // nobody mistypes so much
  if (word.size() > kLongest) return std::nullopt;
  std::optional<std::string> best;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const bool begins = word.size() >= 4 && name.starts_with(word);
    const std::size_t changes = begins ? 1 : distance(word, name);
    if (changes >= least) continue;
    least = changes;
    best = name;
  }
  return best;
}

void check_words(const CLI::App& app, std::span<const std::string> words) {
  if (words.empty() || words.front().starts_with('-')) return;
  const CLI::App& command = find_command(app, words.front());
  const auto options = command.get_options();
  const bool takes_words = std::ranges::any_of(options, [](const CLI::Option* o) { return o->get_positional(); });
  int more = 0;  // values that the last option may still take
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return;
    if (!word.starts_with('-') || word == "-" || is_number(word)) {
      if (more-- > 0 || takes_words) continue;
      throw Error(ErrorCode::BadUsage, fmt::format("{} belongs to no option", quoted_text(word)),
                  "put a value that has spaces in quotes");
    }
    const CLI::Option& option = *find_option(command, word);
    const bool is_long = word.starts_with("--");
    const bool with_value = is_long ? word.find('=') != std::string::npos : word.size() > 2;
    const int least = with_value ? 0 : option.get_items_expected_min();
    more = option.get_items_expected_max() - least - (with_value ? 1 : 0);
    i += static_cast<std::size_t>(least);  // whatever they look like
  }
}

}  // namespace coala
