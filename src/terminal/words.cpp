#include "terminal/words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/utf8.h"
#include "terminal/foreign_names.h"

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

/// Whether one of two names begins with the other.
bool begin_alike(std::string_view a, std::string_view b) {
  constexpr std::size_t kTelling = 4;  // "--te": two letters at least
  return std::min(a.size(), b.size()) >= kTelling && (a.starts_with(b) || b.starts_with(a));
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
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

bool has_option(const CLI::App& command, std::string_view name) {
  const auto options = command.get_options();
  return std::ranges::any_of(options, [&](const CLI::Option* o) { return o->check_lname(std::string(name)); });
}

[[noreturn]] void fail_unknown(std::string_view kind, const std::string& word, const std::string& hint) {
  throw Error(ErrorCode::BadUsage, fmt::format("there is no {} {}", kind, quoted_text(word)), hint);
}

const CLI::App* command_named(const CLI::App& app, const std::string& word) {
  for (const CLI::App* command : commands_of(app)) {
    if (command->check_name(word)) return command;
  }
  return nullptr;
}

const CLI::App& find_command(const CLI::App& app, const std::string& word) {
  if (const CLI::App* command = command_named(app, word)) return *command;
  std::vector<std::string> ours;
  for (const ForeignName& name : foreign_commands()) {
    if (name.theirs == word && command_named(app, std::string(name.ours)) != nullptr) ours.emplace_back(name.ours);
  }
  if (!ours.empty()) fail_unknown("command", word, fmt::format("{} is {} here", word, fmt::join(ours, " or ")));
  std::vector<std::string> names;
  for (const CLI::App* command : commands_of(app)) names.push_back(command->get_name());
  const std::vector<std::string> meant = nearest_names(word, names);
  fail_unknown("command", word,
               meant.empty() ? fmt::format("the commands are {}", fmt::join(names, ", "))
                             : fmt::format("did you mean {}?", fmt::join(meant, " or ")));
}

/// A value such as -1 or -.5 and not an option.
bool is_number(std::string_view word) {
  return word.size() > 1 && ((word[1] >= '0' && word[1] <= '9') || word[1] == '.');
}

/// A word's name without dashes and without a value behind "=", its words parted by "-".
std::string bare_name(std::string_view word) {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  std::string name(word.substr(0, word.find('=')));
  std::ranges::replace(name, '_', '-');
  return name;
}

/// The word as it is typed, without its value.
std::string typed(const std::string& word) {
  return word.substr(0, word.find('='));
}

/// Says what an option that others have is called here, if it is; names of one letter and of several with one dash too.
void check_foreign(const CLI::App& app, const CLI::App& command, const std::string& word) {
  const std::string name = bare_name(word);
  std::string elsewhere;
  for (const ForeignName& foreign : foreign_options()) {
    if (foreign.theirs != name) continue;
    if (has_option(command, foreign.ours)) {
      fail_unknown("option", typed(word), fmt::format("{} is --{} here", typed(word), foreign.ours));
    }
    std::vector<std::string> having;
    for (const CLI::App* other : commands_of(app)) {
      if (has_option(*other, foreign.ours)) having.push_back(other->get_name());
    }
    if (having.empty()) continue;
    constexpr std::size_t kFew = 3;
    if (having.size() > kFew) having = {having.front(), "others"};
    elsewhere = fmt::format("{} is --{} of coala {}; coala {} has none", typed(word), foreign.ours,
                            fmt::join(having, " and "), command.get_name());
  }
  if (!elsewhere.empty()) fail_unknown("option", typed(word), elsewhere);
  if (typed(word) != "--" + name && name.size() > 1 && has_option(command, name)) {
    fail_unknown("option", typed(word), fmt::format("it is written --{}", name));
  }
}

[[noreturn]] void fail_unknown_option(const CLI::App& app, const CLI::App& command, const std::string& word) {
  check_foreign(app, command, word);
  const std::string name = "--" + bare_name(word);
  const std::vector<std::string> meant = nearest_names(name, long_names(command));
  if (!meant.empty()) fail_unknown("option", typed(word), fmt::format("did you mean {}?", fmt::join(meant, " or ")));
  const std::vector<std::string> global = nearest_names(name, long_names(app));
  if (!global.empty()) {
    fail_unknown("option", typed(word), fmt::format("did you mean coala {}, without a command?", global.front()));
  }
  fail_unknown("option", typed(word), fmt::format("coala {} --help lists them", command.get_name()));
}

/// The option that a word names, with or without a value behind it; null: none.
const CLI::Option* option_named(const CLI::App& command, const std::string& word) {
  const bool is_long = word.starts_with("--");
  const std::string name = is_long ? word.substr(2, word.find('=') - 2) : word.substr(1, 1);
  for (const CLI::Option* option : command.get_options()) {
    if (is_long ? option->check_lname(name) : option->check_sname(name)) return option;
  }
  return nullptr;
}

const CLI::Option& find_option(const CLI::App& app, const CLI::App& command, const std::string& word) {
  // "-ngl" is no -n with the value "gl".
  if (!word.starts_with("--") && word.size() > 2) check_foreign(app, command, word);
  const CLI::Option* option = option_named(command, word);
  if (option == nullptr) fail_unknown_option(app, command, word);
  return *option;
}

/// Refuses what stands where a command should: an option that is none of the program's own.
void check_global_option(const CLI::App& app, const std::string& word) {
  if (word == "--" || option_named(app, word) != nullptr) return;
  const std::vector<std::string> meant = nearest_names("--" + bare_name(word), long_names(app));
  if (!meant.empty()) fail_unknown("option", typed(word), fmt::format("did you mean {}?", fmt::join(meant, " or ")));
  for (const CLI::App* command : commands_of(app)) {
    if (option_named(*command, word) == nullptr) continue;
    throw Error(ErrorCode::BadUsage, fmt::format("{} stands before the command", quoted_text(typed(word))),
                fmt::format("options come behind a command: coala COMMAND {} ..; coala --help lists the commands",
                            typed(word)));
  }
  fail_unknown("option", typed(word), "coala --help lists the commands, which come first");
}

bool takes_words(const CLI::App& command) {
  const auto options = command.get_options();
  return std::ranges::any_of(options, [](const CLI::Option* o) { return o->get_positional(); });
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view word, std::span<const std::string> names) {
  constexpr std::size_t kLongest = 40;  // nobody mistypes so much
  constexpr std::size_t kMost = 3;
  std::vector<std::string> best;
  if (word.size() > kLongest) return best;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3);
  for (const std::string& name : names) {
    const std::size_t changes = begin_alike(word, name) ? 1 : distance(word, name);
    if (changes > least) continue;
    if (changes < least) best.clear();
    least = changes;
    if (best.size() < kMost) best.push_back(name);
  }
  return best;
}

std::vector<std::string> with_help(const CLI::App& app, std::vector<std::string> words) {
  if (words.empty()) return words;
  if (words.front() == "help") {
    words.erase(words.begin());
    words.resize(std::min<std::size_t>(words.size(), 1));
    words.emplace_back("--help");
  } else if (words.size() == 2 && words[1] == "help") {
    const CLI::App* const command = command_named(app, words.front());
    if (command != nullptr && !takes_words(*command)) words[1] = "--help";
  }
  return words;
}

void check_words(const CLI::App& app, std::span<const std::string> words) {
  if (words.empty()) return;
  if (words.front().starts_with('-')) return check_global_option(app, words.front());
  const CLI::App& command = find_command(app, words.front());
  int more = 0;  // values that the last option may still take
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return;
    if (!word.starts_with('-') || word == "-" || is_number(word)) {
      if (more-- > 0 || takes_words(command)) continue;
      throw Error(ErrorCode::BadUsage, fmt::format("{} belongs to no option", quoted_text(word)),
                  "put a value that has spaces in quotes");
    }
    const CLI::Option& option = find_option(app, command, word);
    const bool is_long = word.starts_with("--");
    const bool with_value = is_long ? word.find('=') != std::string::npos : word.size() > 2;
    const int least = with_value ? 0 : option.get_items_expected_min();
    more = option.get_items_expected_max() - least - (with_value ? 1 : 0);
    i += static_cast<std::size_t>(least);  // whatever they look like
  }
}

}  // namespace coala
