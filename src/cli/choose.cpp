#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/data_options.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/messages.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "data/answer_groups.h"
#include "data/decision_file.h"
#include "data/record_store.h"
#include "judge/best_and_worst.h"
#include "terminal/columns_text.h"
#include "terminal/console.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

struct ChooseCommand {
  CommonOptions common;
  DataOptions data;
  std::string out;
  std::string judge_command;
  double judge_seconds = 60;
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

void show(const TwoAnswers& question, bool swapped, std::size_t number, std::size_t count) {
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
void ask(const std::vector<TwoAnswers>& questions, DecisionFile& decisions, std::uint64_t seed) {
  Keys keys;
  std::vector<std::size_t> shown;
  for (std::size_t i = 0; i < questions.size();) {
    const TwoAnswers& question = questions[i];
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
  DecisionFile decisions(command.out);
  const std::size_t before = decisions.size();
  if (!command.judge_command.empty()) {
    CommandJudge program(command.judge_command, command.judge_seconds);
    decide_by_judge(groups, program, decisions);
  } else {
    std::vector<TwoAnswers> questions;
    for (const std::vector<Labelled>& group : groups) {
      for (std::size_t k = 0; k + 1 < group.size(); k += 2) {
        const std::span<const Labelled> two(&group[k], 2);
        questions.push_back({decision_id(two), two[0].prompt, two[0].response, two[1].response});
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
