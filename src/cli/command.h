#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace coala {

/// Options that every command has.
struct CommonOptions {
  bool json = false;       ///< print one JSON object on standard output
  bool quiet = false;      ///< no progress or news on standard error
  std::uint64_t seed = 0;  ///< of everything random
  int threads = 0;         ///< 0: as many as cores are free, see chosen_threads()
};

void add_common_options(CLI::App& command, CommonOptions& options);

/// The threads to work with. Where the machine chooses, says so when it is fewer than there are cores.
int chosen_threads(const CommonOptions& options);

/// The command line that gives a run again: what was set, not what was defaulted.
std::string command_line(const CLI::App& command);

/// A word as a shell takes it.
std::string quoted(const std::string& word);

/// Prints text of one or more lines on standard output, printable whatever is quoted in it.
void print_printable(const std::string& text);
template <class... Arguments>
void print_out(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  print_printable(fmt::format(format, std::forward<Arguments>(arguments)...));
}

/// Prints a machine-readable result on standard output.
void print_json(const nlohmann::ordered_json& value);

// One function per command, each in a file of its name. It adds the subcommand with its options and a callback that
// runs it; the callback throws Error, main() turns that into a message and an exit status.
void add_prepare_command(CLI::App& app);
void add_extract_command(CLI::App& app);
void add_train_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_judge_command(CLI::App& app);
void add_study_command(CLI::App& app);
void add_cost_command(CLI::App& app);
void add_score_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_sample_command(CLI::App& app);
void add_chat_command(CLI::App& app);
void add_serve_command(CLI::App& app);
void add_choose_command(CLI::App& app);
void add_export_command(CLI::App& app);
void add_influence_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_align_command(CLI::App& app);
void add_devices_command(CLI::App& app);

}  // namespace coala
