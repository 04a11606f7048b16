#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "judge/judge.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// A fresh folder that goes away with the object.
class WorkFolder {
 public:
  WorkFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "coala-judge-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorCode::Io, fmt::format("cannot make a folder in {}: {}",
                                             std::filesystem::temp_directory_path().string(), std::strerror(errno)));
    }
    path_ = pattern;
  }
  ~WorkFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

Json prompt_json(const Prompt& prompt) {
  if (prompt.messages.empty()) return prompt.text;
  Json messages = Json::array();
  for (const Message& message : prompt.messages) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  return messages;
}

/// Runs a command of the shell between two files; its standard error is ours. @returns its wait status
int run(const std::string& command, const std::filesystem::path& input, const std::filesystem::path& output) {
  const pid_t child = ::fork();
  if (child < 0) throw Error(ErrorCode::Io, fmt::format("cannot start a process: {}", std::strerror(errno)));
  if (child == 0) {
    const int from = ::open(input.c_str(), O_RDONLY);
    const int to = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (from < 0 || to < 0 || ::dup2(from, STDIN_FILENO) < 0 || ::dup2(to, STDOUT_FILENO) < 0) ::_exit(126);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw Error(ErrorCode::Io, fmt::format("cannot wait for '{}'", command));
  }
  throw_if_interrupted();
  return status;
}

}  // namespace

std::vector<double> CommandJudge::scores(std::span<const ReplyToJudge> replies) {
  const WorkFolder folder;
  std::string lines;
  for (const ReplyToJudge& reply : replies) {
    const Json line{{"id", reply.id}, {"prompt", prompt_json(*reply.prompt)}, {"response", reply.text}};
    lines += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  write_file(folder / "replies", lines);
  const auto bad = [this](const std::string& what) {
    return Error(ErrorCode::BadInput, fmt::format("the judge '{}' {}", command_, what),
                 "it must write one line {\"score\": number} for each line that it reads");
  };
  const int status = run(command_, folder / "replies", folder / "scores");
  if (!WIFEXITED(status)) throw bad(fmt::format("was ended by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) throw bad(fmt::format("ended with status {}", WEXITSTATUS(status)));
  std::vector<double> scores;
  std::istringstream answer(read_file(folder / "scores"));
  for (std::string line; std::getline(answer, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("score") || !json["score"].is_number() ||
        !std::isfinite(json["score"].get<double>())) {
      throw bad(fmt::format("wrote '{}' in line {}", line.substr(0, 80), scores.size() + 1));
    }
    scores.push_back(json["score"].get<double>());
  }
  if (scores.size() != replies.size()) {
    throw bad(fmt::format("wrote {} lines for {} replies", scores.size(), replies.size()));
  }
  return scores;
}

}  // namespace coala
