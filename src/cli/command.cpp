#include "cli/command.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include "core/free_cores.h"
#include "core/parallel.h"
#include "core/progress.h"
#include "core/utf8.h"

namespace coala {
std::string quoted(const std::string& word) {
  if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=,:+") ==
          std::string::npos &&
      !word.empty()) {
    return word;
  }
  std::string result = "'";
  for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string command_line(const CLI::App& command) {
  std::string text = "coala " + command.get_name();
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || name == "--json" || name == "--quiet" || name == "--threads") continue;
    text += " " + name;
    if (option->get_expected_max() > 0) {
      for (const std::string& value : option->results()) text += " " + quoted(value);
    }
  }
  return text;
}

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_flag("--json", options.json, "print one machine-readable object on standard output");
  command.add_flag("--quiet", options.quiet, "no progress or news on standard error");
  command.add_option("-s,--seed", options.seed, "seed of everything random")->capture_default_str();
  command.add_option("-t,--threads", options.threads, "threads to use; 0: as many as cores are free now")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

int chosen_threads(const CommonOptions& options) {
  const int cores = usable_cores();
  if (options.threads > cores) {
    log_warning(fmt::format("--threads {} is more than the {} cores that this process may use: they take turns",
                            options.threads, cores));
  }
  if (options.threads > 0) return options.threads;
  const int free = free_cores();
  if (free < cores) {
    log_line(fmt::format("using {} of {} cores: other programs keep the rest busy (--threads sets the number)", free,
                         cores));
  }
  return free;
}

void print_printable(const std::string& text) {
  const std::string shown = printable_lines(text);
  if (std::fwrite(shown.data(), 1, shown.size(), stdout) != shown.size()) {
    throw std::system_error(errno, std::generic_category(), "cannot write to standard output");
  }
}

void print_json(const nlohmann::ordered_json& value) {
  // Text from data files may hold what JSON cannot: replaced, never an exception half-way through the output.
  const std::string text = value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace coala
