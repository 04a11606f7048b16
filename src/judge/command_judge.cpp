#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "core/utf8.h"
#include "judge/judge.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// A fresh folder for two files that goes away with the object, or with the process.
class WorkFolder {
 public:
  WorkFolder() : path_(make()), replies(path_ / "replies"), scores(path_ / "scores") {}
  ~WorkFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

 private:
  static std::filesystem::path make() {
    std::string pattern = (std::filesystem::temp_directory_path() / "coala-judge-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorCode::Io, fmt::format("cannot make a folder in {}: {}",
                                             std::filesystem::temp_directory_path().string(), std::strerror(errno)));
    }
    return pattern;
  }

  std::filesystem::path path_;

 public:
  const std::filesystem::path replies, scores;

 private:
  // In this order: a folder is removed when it is empty.
  EndsWithProcess no_replies_{EndsWithProcess::Kind::File, replies};
  EndsWithProcess no_scores_{EndsWithProcess::Kind::File, scores};
  EndsWithProcess no_folder_{EndsWithProcess::Kind::Folder, path_};
};

Json prompt_json(const Prompt& prompt) {
  if (prompt.messages.empty()) return prompt.text;
  Json messages = Json::array();
  for (const Message& message : prompt.messages) {
    messages.push_back({{"role", message.role}, {"content", message.content}});
  }
  return messages;
}

/// A command of the shell between two files, in a group of its own with what it starts; its standard error is ours.
class Running {
 public:
  Running(const std::string& command, const std::filesystem::path& input, const std::filesystem::path& output)
      : child_(::fork()) {
    if (child_ < 0) throw Error(ErrorCode::Io, fmt::format("cannot start a process: {}", std::strerror(errno)));
    if (child_ == 0) {
      ::setpgid(0, 0);
      for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGALRM}) std::signal(signal, SIG_DFL);
      const int from = ::open(input.c_str(), O_RDONLY);
      const int to = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      if (from < 0 || to < 0 || ::dup2(from, STDIN_FILENO) < 0 || ::dup2(to, STDOUT_FILENO) < 0) ::_exit(126);
      ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
      ::_exit(127);
    }
    ::setpgid(child_, child_);
    ends_.emplace(child_);
  }
  ~Running() {
    if (!over_) ::kill(-child_, SIGKILL);
    int status = 0;
    while (!over_ && ::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  /// Its wait status; nothing when it is not over in time. @throws Error{Interrupted}
  std::optional<int> wait(double seconds) {
    constexpr std::chrono::milliseconds kLook{10};
    const double late = monotonic_s() + seconds;
    for (;;) {
      int status = 0;
      const pid_t ended = ::waitpid(child_, &status, WNOHANG);
      over_ = ended != 0;
      if (ended > 0) return status;
      if (ended < 0) throw Error(ErrorCode::Io, fmt::format("cannot wait for a process: {}", std::strerror(errno)));
      throw_if_interrupted();
      if (monotonic_s() > late) return std::nullopt;
      std::this_thread::sleep_for(kLook);
    }
  }

 private:
  pid_t child_;
  bool over_ = false;
  std::optional<EndsWithProcess> ends_;
};

}  // namespace

std::vector<double> CommandJudge::scores(std::span<const ReplyToJudge> replies) {
  const WorkFolder folder;
  std::string lines;
  for (const ReplyToJudge& reply : replies) {
    const Json line{{"id", reply.id}, {"prompt", prompt_json(*reply.prompt)}, {"response", reply.text}};
    lines += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  write_file(folder.replies, lines);
  const auto bad = [this](const std::string& what) {
    return Error(ErrorCode::BadInput, fmt::format("the judge '{}' {}", command_, what),
                 "it must write one line {\"score\": number, or true or false} for each line that it reads");
  };
  const double limit_s = seconds_per_reply_ * static_cast<double>(std::max<std::size_t>(1, replies.size()));
  const std::optional<int> ended = Running(command_, folder.replies, folder.scores).wait(limit_s);
  if (!ended) throw bad(fmt::format("is not done with {} replies after {:.0f} s", replies.size(), limit_s));
  const int status = *ended;
  if (!WIFEXITED(status)) throw bad(fmt::format("was ended by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) throw bad(fmt::format("ended with status {}", WEXITSTATUS(status)));
  std::vector<double> scores;
  std::istringstream answer(read_file(folder.scores));
  for (std::string line; std::getline(answer, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    const Json score = json.is_object() ? json.value("score", Json()) : Json();
    const bool usable = score.is_boolean() || (score.is_number() && std::isfinite(score.get<double>()));
    if (!usable) throw bad(fmt::format("wrote {} in line {}", quoted_text(line), scores.size() + 1));
    scores.push_back(score.is_boolean() ? static_cast<double>(score.get<bool>()) : score.get<double>());
  }
  if (scores.size() != replies.size()) {
    throw bad(fmt::format("wrote {} lines for {} replies", scores.size(), replies.size()));
  }
  return scores;
}

}  // namespace coala
