#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/private_folder.h"
#include "core/resources.h"
#include "core/utf8.h"
#include "data/prompt_json.h"
#include "judge/judge.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// A fresh folder for two files that goes away with the object, or with the process.
class WorkFolder {
  PrivateFolder folder_{"judge"};

 public:
  const std::filesystem::path replies = folder_.path() / "replies", scores = folder_.path() / "scores";

 private:
  // In this order: a folder is removed when it is empty.
  EndsWithProcess no_replies_{EndsWithProcess::Kind::File, replies};
  EndsWithProcess no_scores_{EndsWithProcess::Kind::File, scores};
  EndsWithProcess no_folder_{EndsWithProcess::Kind::Folder, folder_.path()};
};

/// The lines of a file that grows, each as soon as it is whole.
class GrowingLines {
 public:
  explicit GrowingLines(const std::filesystem::path& path) : path_(path) {}
  ~GrowingLines() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  GrowingLines(const GrowingLines&) = delete;
  GrowingLines& operator=(const GrowingLines&) = delete;

  /// Hands over the lines that have come. @param ended  what is left is a line too
  void read(bool ended, const std::function<void(const std::string&)>& take) {
    if (descriptor_ < 0) descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0 && errno == ENOENT && !ended) return;  // the program has not begun
    for (;;) {
      std::array<char, 1 << 14> piece;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
      const ssize_t bytes = descriptor_ < 0 ? -1 : ::read(descriptor_, piece.data(), piece.size());
      if (bytes < 0 && errno == EINTR) continue;
      if (bytes < 0)
        throw Error(ErrorCode::Io, fmt::format("cannot read {}: {}", path_.string(), std::strerror(errno)));
      if (bytes == 0) break;
      std::string_view text(piece.data(), static_cast<std::size_t>(bytes));
      for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
        take(half_ + std::string(text.substr(0, end)));
        half_.clear();
      }
      half_ += text;
      constexpr std::size_t kLongest = 1 << 20;
      if (half_.size() > kLongest) take(half_);  // no score is as long as that
    }
    if (ended && !half_.empty()) take(std::exchange(half_, {}));
  }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string half_;
};

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
  /// @param meanwhile  called again and again
  std::optional<int> wait(double seconds, const std::function<void()>& meanwhile) {
    constexpr std::chrono::milliseconds kLook{10};
    const double late = monotonic_s() + seconds;
    for (;;) {
      int status = 0;
      const pid_t ended = ::waitpid(child_, &status, WNOHANG);
      over_ = ended != 0;
      if (ended > 0) return status;
      if (ended < 0) throw Error(ErrorCode::Io, fmt::format("cannot wait for a process: {}", std::strerror(errno)));
      throw_if_interrupted();
      meanwhile();
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

void CommandJudge::score_each(std::span<const ReplyToJudge> replies, const Heard& heard) {
  const WorkFolder folder;
  std::string lines;
  for (const ReplyToJudge& reply : replies) {
    const Json line{{"id", reply.id}, {"prompt", prompt_json(*reply.prompt)}, {"response", reply.text}};
    lines += line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  write_file(folder.replies, lines);
  constexpr const char* kHint =
      "it must write one line {\"score\": number, or true or false} for each line that it reads";
  const auto told = [this](const std::string& what) { return fmt::format("the judge '{}' {}", command_, what); };
  const auto bad = [&](const std::string& what) { return Error(ErrorCode::BadInput, told(what), kHint); };
  const auto out_of_step = [&](const std::string& count) {
    return OutOfStep(ErrorCode::BadInput, told(fmt::format("wrote {} lines for {} replies", count, replies.size())),
                     kHint);
  };
  std::size_t known = 0;
  const auto take = [&](const std::string& line) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    const Json score = json.is_object() ? json.value("score", Json()) : Json();
    const bool usable = score.is_boolean() || (score.is_number() && std::isfinite(score.get<double>()));
    if (!usable) throw bad(fmt::format("wrote {} in line {}", quoted_text(line), known + 1));
    if (known == replies.size()) throw out_of_step("more");
    heard(known++, score.is_boolean() ? static_cast<double>(score.get<bool>()) : score.get<double>());
  };
  GrowingLines answer(folder.scores);
  const double limit_s = seconds_per_reply_ * static_cast<double>(std::max<std::size_t>(1, replies.size()));
  const std::optional<int> ended =
      Running(command_, folder.replies, folder.scores).wait(limit_s, [&] { answer.read(/*ended=*/false, take); });
  if (!ended) throw bad(fmt::format("is not done with {} replies after {:.0f} s", replies.size(), limit_s));
  answer.read(/*ended=*/false, take);  // what is whole counts, however the program has ended
  const int status = *ended;
  if (!WIFEXITED(status)) throw bad(fmt::format("was ended by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) throw bad(fmt::format("ended with status {}", WEXITSTATUS(status)));
  answer.read(/*ended=*/true, take);
  if (known < replies.size()) throw out_of_step(std::to_string(known));
}

}  // namespace coala
