#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "core/atomic_file.h"
#include "support.h"

/// The program as its users start it.
namespace coala::test {

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

inline std::string shell_quoted(const std::filesystem::path& path) {
  return "'" + path.string() + "'";
}

inline Outcome run(const TemporaryFolder& folder, const std::string& arguments) {
  const auto out = folder / "stdout";
  const auto err = folder / "stderr";
  const std::string command = std::string("'" COALA_BINARY "' ") + arguments + " >" + shell_quoted(out) + " 2>" +
                              shell_quoted(err) + " </dev/null";
  const int result = std::system(command.c_str());
  Outcome outcome;
  outcome.status = WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
  outcome.out = read_file(out);
  outcome.err = read_file(err);
  std::filesystem::remove(out);
  std::filesystem::remove(err);
  return outcome;
}

/// Expects exit status 2, one message with the words, and no crash.
inline void expect_refused(const Outcome& outcome, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(outcome.err.find("internal error"), std::string::npos) << outcome.err;
  for (const std::string& word : words) EXPECT_NE(outcome.err.find(word), std::string::npos) << outcome.err;
}

/// Pairs that a byte-level model can tell apart.
inline std::filesystem::path write_pairs(const TemporaryFolder& folder, int count,
                                         const std::string& name = "pairs.jsonl") {
  std::ofstream file(folder / name);
  for (int i = 0; i < count; ++i) {
    file << nlohmann::json{{"prompt", "question " + std::to_string(i)},
                           {"chosen", "certainly, number " + std::to_string(i * 7 % 100) + " is a fine choice"},
                           {"rejected", "ZZZ NO " + std::to_string(i * 13 % 100) + " GO AWAY NOW ZZZ"}}
                .dump()
         << '\n';
  }
  return folder / name;
}

inline std::string model() {
  return shell_quoted(test_file("tiny-llama.gguf"));
}

inline std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

/// Starts the program, sends it a signal after a while, and returns its wait status.
inline int run_and_signal(const std::vector<std::string>& arguments, int signal, const std::function<bool()>& when) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::vector<char*> argv{const_cast<char*>(COALA_BINARY)};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::freopen("/dev/null", "w", stdout);
    std::freopen("/dev/null", "w", stderr);
    ::execv(COALA_BINARY, argv.data());
    ::_exit(127);
  }
  int status = 0;
  while (!when()) {
    if (::waitpid(child, &status, WNOHANG) == child) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ::kill(child, signal);
  ::waitpid(child, &status, 0);
  return status;
}

/// The same after some time.
inline int run_and_signal(const std::vector<std::string>& arguments, int signal, std::chrono::milliseconds after) {
  const auto due = std::chrono::steady_clock::now() + after;
  return run_and_signal(arguments, signal, [due] { return std::chrono::steady_clock::now() >= due; });
}

/// Whether a file has grown beyond so many bytes.
inline bool has_grown(const std::filesystem::path& path, std::uintmax_t beyond_bytes) {
  std::error_code missing;
  const std::uintmax_t bytes = std::filesystem::file_size(path, missing);
  return !missing && bytes > beyond_bytes;
}

}  // namespace coala::test
