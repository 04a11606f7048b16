#include <fcntl.h>
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/check_options.h"
#include "cli/columns_text.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/data_options.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/messages.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "data/record_store.h"
#include "data/split.h"
#include "data/writer.h"
#include "judge/judge.h"

namespace coala {
namespace {

struct ChooseCommand {
  CommonOptions common;
  DataOptions data;
  std::string out;
  std::string judge_command;
  double judge_seconds = 60;
};

/// Two different replies to a prompt.
struct Question {
  std::string id;
  Prompt prompt;
  std::string first, second;
};

/// Answers by the prompt that they answer, prompts and answers in the order of the data, each answer once.
std::vector<std::vector<Labelled>> answers_by_prompt(const RecordStore& store) {
  std::vector<std::vector<Labelled>> groups;
  std::map<std::string, std::size_t> places;
  RecordCursor cursor(store);
  for (Record record; cursor.next(record);) {
    Labelled& answer = std::get<Labelled>(record);
    const auto [place, is_new] = places.emplace(prompt_key(answer), groups.size());
    if (is_new) groups.emplace_back();
    std::vector<Labelled>& group = groups[place->second];
    const auto same = [&](const Labelled& other) { return other.response == answer.response; };
    if (std::ranges::none_of(group, same)) group.push_back(std::move(answer));
  }
  return groups;
}

/// Names the question which of some answers to a prompt is better. It is another one when there is another answer.
std::string question_id(std::span<const Labelled> answers) {
  std::uint64_t hash = hash64(prompt_key(answers.front()));
  for (const Labelled& answer : answers) hash = hash64(answer.response, hash);
  return fmt::format("{}-{:08x}", answers.front().id, hash & 0xffffffffu);
}

/// The decisions in --out: coala's own pairs, a tie with a weight of 0. Each is on the disk when the next is asked for.
class Decisions {
 public:
  explicit Decisions(const std::string& path) : path_(path) {
    const std::string content = std::filesystem::exists(path) ? read_file(path) : std::string();
    const std::size_t whole = content.rfind('\n') + 1;
    for (std::size_t begin = 0; begin < whole;) {
      const std::size_t end = content.find('\n', begin);
      const auto line = nlohmann::json::parse(content.substr(begin, end - begin), nullptr, /*allow_exceptions=*/false);
      if (!line.is_object() || !line.contains("id") || !line["id"].is_string() || !line.contains("chosen")) refuse();
      known_.insert(line["id"].get<std::string>());
      begin = end + 1;
    }
    // Of a killed run the last line may be half.
    const std::string_view half = std::string_view(content).substr(whole);
    if (!half.starts_with(kLineStart) && !kLineStart.starts_with(half)) refuse();
    descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (descriptor_ < 0 || (!half.empty() && ::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)) fail("open");
  }
  ~Decisions() { ::close(descriptor_); }
  Decisions(const Decisions&) = delete;
  Decisions& operator=(const Decisions&) = delete;

  bool knows(const std::string& id) const { return known_.contains(id); }
  std::size_t size() const { return known_.size(); }

  void add(const Question& question, int better) {  // 1: the second, -1: the first, 0: neither
    Pair pair;
    pair.id = question.id;
    pair.prompt = question.prompt;
    pair.chosen = better > 0 ? question.second : question.first;
    pair.rejected = better > 0 ? question.first : question.second;
    if (better == 0) pair.weight = 0;
    const std::string line = to_json_line(pair) + "\n";
    const off_t before = ::lseek(descriptor_, 0, SEEK_END);
    if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) fail("write");
    undo_.emplace_back(question.id, before);
    known_.insert(question.id);
  }

  /// The last decision of this run is taken back. False when there is none.
  bool undo() {
    if (undo_.empty()) return false;
    if (::ftruncate(descriptor_, undo_.back().second) != 0) fail("write");
    known_.erase(undo_.back().first);
    undo_.pop_back();
    return true;
  }

 private:
  static constexpr std::string_view kLineStart = "{\"id\":";

  [[noreturn]] void refuse() const {
    throw Error(ErrorCode::Mismatch, fmt::format("{} holds something else than decisions", path_),
                "name another --out");
  }
  [[noreturn]] void fail(const char* operation) const {
    throw Error(ErrorCode::Io, fmt::format("cannot {} {}: {}", operation, path_, std::strerror(errno)));
  }

  std::string path_;
  int descriptor_ = -1;
  std::set<std::string> known_;
  std::vector<std::pair<std::string, off_t>> undo_;
};

/// Keys of a terminal one by one, without Enter; lines of anything else.
class Keys {
 public:
  Keys() : terminal_(::isatty(STDIN_FILENO) != 0 && ::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!terminal_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~Keys() {
    if (terminal_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  /// The next one that is no white space; nothing at the end.
  std::optional<char> next() {
    for (char key = 0;;) {
      const ssize_t got = ::read(STDIN_FILENO, &key, 1);
      throw_if_interrupted();
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::nullopt;
      if (!is_space(key)) return key;
    }
  }

 private:
  termios before_ = {};
  bool terminal_;
};

void show(const Question& question, bool swapped, std::size_t number, std::size_t count) {
  const std::size_t width = terminal_width(STDERR_FILENO);
  std::string asked = question.prompt.text;
  for (const Message& message : question.prompt.messages) {
    asked += (asked.empty() ? "" : "\n") + message.role + ": " + message.content;
  }
  std::string text = fmt::format("\n[{} of {}]\n", number, count);
  for (const std::string& line : wrapped(asked, width)) text += line + "\n";
  text += std::string(width, '-') + "\n";
  const std::string& left = swapped ? question.second : question.first;
  const std::string& right = swapped ? question.first : question.second;
  text += side_by_side("1\n" + left, "2\n" + right, width);
  text += "1, 2: that one is better; t: neither; s: skip; u: undo; q: quit > ";
  write_message(text);
}

/// Asks at the terminal until all is decided or the user leaves.
void ask(const std::vector<Question>& questions, Decisions& decisions, std::uint64_t seed) {
  Keys keys;
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < questions.size();) {
    const Question& question = questions[i];
    if (decisions.knows(question.id)) {
      ++i;
      continue;
    }
    const bool swapped = hash64(question.id, seed) % 2 != 0;  // so that no place is the better one by habit
    show(question, swapped, i + 1, questions.size());
    const std::optional<char> key = keys.next();
    write_message("\n");
    if (!key || *key == 'q') return;
    if (*key == 'u') {
      if (decisions.undo()) {
        i = shown.back();
        shown.pop_back();
      } else {
        write_message("(nothing of this run is left to take back)\n");
      }
    } else if (*key == 's') {
      ++i;
    } else if (*key == '1' || *key == '2' || *key == 't') {
      const int place = *key == '1' ? -1 : 1;
      decisions.add(question, *key == 't' ? 0 : swapped ? -place : place);
      shown.push_back(i++);
    }
  }
}

/// The best and the worst answer to each prompt that is not decided, by a program's scores; a tie when all are equal. A
/// prompt is decided when its last answer has a score.
void judge(const std::vector<std::vector<Labelled>>& groups, Judge& judge, Decisions& decisions) {
  struct Asked {
    std::string id;
    std::span<const Labelled> answers;
    std::size_t end;  ///< of its replies
  };
  std::vector<Asked> asked;
  std::vector<ReplyToJudge> replies;
  for (const std::vector<Labelled>& group : groups) {
    std::string id = question_id(group);
    if (decisions.knows(id)) continue;
    for (const Labelled& answer : group) replies.push_back({answer.id, &answer.prompt, answer.response});
    asked.push_back({std::move(id), group, replies.size()});
  }
  log_line(fmt::format("asking {} about {} replies to {} prompts; {} more are decided", judge.name(), replies.size(),
                       asked.size(), groups.size() - asked.size()));
  if (replies.empty()) return;
  Progress progress("asking " + judge.name(), replies.size(), "replies");
  std::vector<double> scores;  // of the answers to the prompt that is being decided
  auto next = asked.begin();
  const auto decide = [&](std::size_t i, double score) {
    scores.push_back(score);
    progress.advance(1);
    if (i + 1 != next->end) return;
    const auto [worst, best] = std::ranges::minmax_element(scores);
    const auto& worse = next->answers[static_cast<std::size_t>(worst - scores.begin())];
    const auto& better = next->answers[static_cast<std::size_t>(best - scores.begin())];
    decisions.add({next->id, worse.prompt, worse.response, better.response}, *best > *worst ? 1 : 0);
    scores.clear();
    ++next;
  };
  try {
    judge.score_each(replies, decide);
  } catch (const OutOfStep&) {  // the scores may be those of other replies
    while (decisions.undo()) {
    }
    throw;
  }
}

void run_choose(const ChooseCommand& command) {
  set_quiet(command.common.quiet);
  DataFiles files = command.data.files();
  files.reader.unjudged = true;
  const RecordStore store(files, std::filesystem::path(command.out).parent_path());
  if (store.kind() != RecordKind::Labelled) {
    throw Error(ErrorCode::BadInput, fmt::format("{} holds pairs already", store.name()),
                "expected several answers to each prompt, as coala sample writes them");
  }
  std::vector<std::vector<Labelled>> groups = answers_by_prompt(store);
  std::erase_if(groups, [](const std::vector<Labelled>& group) { return group.size() < 2; });
  if (groups.empty()) {
    throw Error(ErrorCode::BadInput, fmt::format("{}: no prompt has two different answers", store.name()),
                "coala sample writes several to each");
  }
  Decisions decisions(command.out);
  const std::size_t before = decisions.size();
  if (!command.judge_command.empty()) {
    CommandJudge program(command.judge_command, command.judge_seconds);
    judge(groups, program, decisions);
  } else {
    std::vector<Question> questions;
    for (const std::vector<Labelled>& group : groups) {
      for (std::size_t k = 0; k + 1 < group.size(); k += 2) {
        const std::span<const Labelled> two(&group[k], 2);
        questions.push_back({question_id(two), two[0].prompt, two[0].response, two[1].response});
      }
    }
    ask(questions, decisions, command.common.seed);
  }
  const nlohmann::ordered_json result{{"out", command.out},
                                      {"prompts", groups.size()},
                                      {"decided", decisions.size() - before},
                                      {"decided_before", before}};
  if (command.common.json) {
    print_json(result);
  } else {
    print_out("{}: {} decisions, {} of them new\n", command.out, decisions.size(), decisions.size() - before);
  }
}

}  // namespace

void add_choose_command(CLI::App& app) {
  auto options = std::make_shared<ChooseCommand>();
  CLI::App& command =
      *app.add_subcommand("choose", "make pairs of answers: you say which is better, or a program does");
  add_data_options(command, options->data, /*required=*/true);
  command
      .add_option("--out", options->out, "JSON lines to which decisions are added; what is decided is not asked again")
      ->type_name(kOutput)
      ->required();
  command.add_option(
      "--judge-command", options->judge_command,
      "a program that reads {\"id\", \"prompt\", \"response\"} a line and writes {\"score\"} a line, instead "
      "of you: the best answer to a prompt is paired with the worst, and none when all are equal");
  command.add_option("--judge-seconds", options->judge_seconds, "with --judge-command: that it may take a reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_common_options(command, options->common);
  command.callback([options] { run_choose(*options); });
}

}  // namespace coala
