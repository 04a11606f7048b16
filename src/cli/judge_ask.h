#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/generated_sources.h"

namespace coala {

/// Two sources of replies, and who is asked about them.
struct AskOptions {
  std::string replies, against;
  SourceOptions sources;  ///< instead of the two: replies that are written before
  std::string transcript;
  std::string endpoint;
  std::vector<std::string> models;  ///< of the endpoint
  std::string task = "pairs";
  std::string command;  ///< a program that is a judge
  double command_seconds = 60;
  std::string head, head_model;  ///< a head that is a judge
  int parallel = 4;
  int retries = 6;
  double wait_s = 1;
  double timeout_s = 120;
  int most_answer_tokens = 1024;
  std::uint64_t most_calls = 0;  ///< 0: as many as it takes
  bool estimate = false;
};

void add_ask_options(CLI::App& command, AskOptions& options);

/// Has what is not in the transcript judged, and gives the comparison of all that is.
/// @param labels  file of what people said; "": none
nlohmann::ordered_json ask(AskOptions& options, const std::string& labels, const CommonOptions& common,
                           const CLI::App& command);

}  // namespace coala
