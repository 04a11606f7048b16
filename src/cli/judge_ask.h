#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace coala {

/// Two files of replies, and who is asked about them.
struct AskOptions {
  std::string replies, against;
  std::string transcript;
  std::string endpoint;
  std::vector<std::string> models;  ///< of the endpoint
  std::string task = "pairs";
  std::string command;  ///< a program that is a judge
  double command_seconds = 60;
  std::string labels;  ///< what people said
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
nlohmann::ordered_json ask_judges(const AskOptions& options, std::uint64_t seed);

}  // namespace coala
