#include "cli/command.h"

#include <cstdio>
#include <string>

namespace coala {

void add_common_options(CLI::App& command, CommonOptions& options) {
  command.add_flag("--json", options.json, "print one machine-readable object on standard output");
  command.add_flag("--quiet", options.quiet, "no progress or news on standard error");
  command.add_option("--seed", options.seed, "seed of everything random")->capture_default_str();
  command.add_option("--threads", options.threads, "threads to use; 0: all cores")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
}

void print_json(const nlohmann::ordered_json& value) {
  // Text from data files may hold what JSON cannot: replaced, never an exception half-way through the output.
  const std::string text = value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace coala
