#include "study/study.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cli/command.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "study/answer_files.h"
#include "study/attention.h"
#include "study/study_summary.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct StudyCommand {
  CommonOptions common;
  std::vector<std::string> replies;  ///< files, one for each source
  StudySettings settings;
  std::string consent;  ///< file
  std::string key;
  std::vector<std::string> answers;  ///< files and folders
  std::string out;
};

[[noreturn]] void refuse(const std::string& what, const std::string& hint) {
  throw Error(ErrorCode::BadUsage, what, hint);
}

/// Beside the page.
fs::path key_path(fs::path page) {
  return page.replace_extension(".key.json");
}

/// The sources' names: those that were given, or those of their files.
std::vector<std::string> source_names(const StudyCommand& command) {
  std::vector<std::string> names = command.settings.names;
  if (names.empty()) {
    for (const std::string& file : command.replies) names.push_back(fs::path(file).stem().string());
  }
  if (names.size() != command.replies.size()) {
    refuse(fmt::format("there are {} names for {} files of replies", names.size(), command.replies.size()),
           "give one name for each file, in their order: --names one,other");
  }
  std::set<std::string> seen;
  for (const std::string& name : names) {
    if (!seen.insert(name).second) {
      refuse(fmt::format("two sources have the name {}", quoted_text(name)), "name them with --names one,other");
    }
  }
  return names;
}

std::string consent_text(const std::string& file) {
  if (file.empty()) return {};
  std::string text = read_file(file, std::size_t{1} << 20);
  if (find_invalid_utf8(text) != std::string::npos) throw Error(ErrorCode::BadInput, file + " is not UTF-8");
  if (is_blank(text)) throw Error(ErrorCode::BadInput, file + " has no text of consent");
  return text;
}

/// Nobody who has the page may know it; JSON readers of every language keep 53 bits.
std::uint64_t secret_seed() {
  std::random_device device;
  const std::uint64_t high = device();
  return (high << 32 | device()) >> 11;
}

Json make(const StudyCommand& command, bool seeded) {
  if (command.out.empty()) refuse("the page is a file", "name it with --out study.html");
  if (command.replies.size() < 2 || command.replies.size() > kMostSources) {
    refuse(fmt::format("there are {} sources of replies, expected are 2 to {}", command.replies.size(), kMostSources),
           "name a file for each: --replies FILE --replies FILE");
  }
  if (is_written_through(command.out)) refuse("the page's key is written beside it", "name a file with --out");
  StudySettings settings = command.settings;
  settings.names = source_names(command);
  settings.title = replace_invalid_utf8(settings.title);
  settings.question = replace_invalid_utf8(settings.question);
  settings.consent = consent_text(command.consent);
  settings.seed = seeded ? command.common.seed : secret_seed();
  const Study study = make_study(read_reply_rows({command.replies.begin(), command.replies.end()}), settings);
  const fs::path key = key_path(command.out);
  write_study_key(key, study.key);  // first: answers to a page without a key could not be added up
  write_file(command.out, study.page);
  if (!study.key.consent_filled) {
    log_warning("the page has no consent text of yours, and says so: give it one with --consent FILE");
  }
  return made_json(study, command.out, key.string());
}

void run_study(const StudyCommand& command, const CLI::App& app) {
  set_quiet(command.common.quiet);
  const bool adds_up = !command.key.empty() || !command.answers.empty();
  if (adds_up == !command.replies.empty()) {
    refuse("name either replies that are to be compared, or answers that are to be added up",
           "use --replies FILE --replies FILE --out study.html, or --key study.key.json --answers FILE ...");
  }
  if (!adds_up) {
    const Json made = make(command, app.get_option("--seed")->count() > 0);
    command.common.json ? print_json(made) : print_out("{}", made_text(made));
    return;
  }
  if (command.key.empty() || command.answers.empty()) {
    refuse("answers are added up with the key of their study", "name both: --key study.key.json --answers FILE ...");
  }
  const StudyKey key = read_study_key(command.key);
  const Json result = study_json(key, read_study_answers(command.answers, key), command.common.seed);
  if (!command.out.empty()) {
    write_file(command.out, result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  command.common.json ? print_json(result) : print_out("{}", study_text(result));
}

}  // namespace

void add_study_command(CLI::App& app) {
  auto options = std::make_shared<StudyCommand>();
  StudySettings& settings = options->settings;
  settings.title = "Comparing replies";
  settings.question = "Which reply is best?";
  CLI::App& command = *app.add_subcommand(
      "study", "make a page on which people compare replies without knowing whose they are, or add their answers up");
  command
      .add_option("--replies", options->replies,
                  "replies of one source, as `coala generate` writes them; once for each source, 2 to 5")
      ->type_name(kInput);
  command.add_option("--names", settings.names, "the sources' names, separated by commas; else those of the files")
      ->delimiter(',');
  command.add_option("--title", settings.title, "heading of the page")->capture_default_str();
  command.add_option("--question", settings.question, "what is asked about each comparison")->capture_default_str();
  command
      .add_option("--consent", options->consent,
                  "text that is agreed to before the first comparison; else the page says what is to be filled in")
      ->type_name(kInput);
  command.add_option("--count", settings.per_rater, "comparisons for each rater, drawn at random; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--checks", settings.checks, "attention checks for each rater: who fails one is left out")
      ->check(CLI::Range(std::size_t{0}, kMostAttentionChecks))
      ->capture_default_str();
  command.add_option("--key", options->key, "with --answers: the key that was written beside the page")
      ->type_name(kInput);
  command.add_option("--answers", options->answers, "answers that the page saved: files, or folders with them")
      ->type_name(kInput);
  command
      .add_option("--out", options->out,
                  "the page, beside which its key is written (study.html: study.key.json); with --answers: the result, "
                  "as --json prints it")
      ->type_name(kOutput);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_study(*options, command); });
}

}  // namespace coala
