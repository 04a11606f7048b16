#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/metric_reference.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/messages.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "core/version.h"
#include "terminal/address_space.h"
#include "terminal/console.h"
#include "terminal/reference.h"
#include "terminal/usage_text.h"
#include "terminal/words.h"
#ifdef COALA_HAVE_LM
#include "lm/model_trial.h"
#endif

namespace {

/// Not what goes to a terminal or through a pipe.
bool keeps_replies(const CLI::Option& out) {
  if (out.count() == 0) return false;
  try {
    return !coala::is_written_through(out.as<std::string>());
  } catch (const coala::Error&) {
    return false;
  }
}

/// What is left of a command that was stopped, and what the same command does next.
std::string_view what_is_kept(const CLI::App& app) {
  const std::string command = app.get_name();
  if (command == "extract") return "what is evaluated is kept: the same command goes on where it was";
  if (command == "align") return "evaluated features are kept, training starts anew: run the same command again";
  if (command == "train") return "nothing is kept, a head is written at the end: the same command starts anew";
  if (command == "serve") return "replies that were being written ended with status 503";
  if (command == "judge") return "answers are kept in the transcript: the same command asks for the others";
  if (command == "choose") return "decisions are kept: the same command asks for the others";
  if ((command == "generate" || command == "sample") && keeps_replies(*app.get_option("--out"))) {
    return "finished replies are kept beside --out: the same command goes on after them";
  }
  return "nothing is kept: the same command starts anew";
}

/// A message that ends the program, and what can be done.
void say(std::string_view message, std::string_view hint) {
  coala::write_message(fmt::format("coala: {}\n", coala::printable(message)));
  if (!hint.empty()) coala::write_message(fmt::format("  hint: {}\n", coala::printable(hint)));
}

/// One message and the exit status for whatever ends a command.
/// @param command  which; null when it is not known
int report(const std::exception& exception, const CLI::App* command) {
  if (const auto* error = dynamic_cast<const coala::Error*>(&exception)) {
    std::string_view hint = error->hint();
    if (hint.empty() && error->code() == coala::ErrorCode::Interrupted && command != nullptr) {
      hint = what_is_kept(*command);
    }
    say(fmt::format("{}: {}", coala::error_name(error->code()), error->what()), hint);
    return coala::exit_status(error->code());
  }
  if (dynamic_cast<const std::system_error*>(&exception) != nullptr) {
    say(fmt::format("{}: {}", coala::error_name(coala::ErrorCode::Io), exception.what()),
        "check that the folder exists, may be written and has room");
    return coala::exit_status(coala::ErrorCode::Io);
  }
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) {
    say("out of memory", "use less data at once, or a machine with more memory");
    return 1;
  }
  say(fmt::format("internal error: {}", exception.what()), "");
  return 1;
}

int run(int argc, char** argv) {
  CLI::App app{"coala aligns a language model to preferences without training it", "coala"};
  app.set_version_flag("-v,--version", std::string("coala ") + coala::kVersion);
  // Ends the parsing as --version does, and prints the text.
  app.add_flag_callback(
      "--help-markdown", [&app] { throw CLI::CallForVersion(coala::markdown_reference(app), 0); },
      "print all commands and options as Markdown (docs/cli.md) and exit");
  app.add_flag_callback(
      "--metrics-markdown", [] { throw CLI::CallForVersion(coala::markdown_metrics(), 0); },
      "print every key of metrics.json as Markdown (docs/metrics.md) and exit");
  app.require_subcommand(1);
  app.fallthrough(false);
  coala::add_prepare_command(app);
  coala::add_train_command(app);
  coala::add_eval_command(app);
  coala::add_judge_command(app);
  coala::add_study_command(app);
  coala::add_cost_command(app);
  coala::add_inspect_command(app);
#ifdef COALA_HAVE_LM
  coala::add_align_command(app);
  coala::add_extract_command(app);
  coala::add_generate_command(app);
  coala::add_sample_command(app);
  coala::add_chat_command(app);
  coala::add_serve_command(app);
  coala::add_choose_command(app);
  coala::add_export_command(app);
  coala::add_score_command(app);
  coala::add_devices_command(app);
  coala::add_influence_command(app);
#endif
  for (CLI::App* command : app.get_subcommands({})) {
    command->parse_complete_callback([command] {
      coala::set_last_words(fmt::format("{}: stopped on request\n  hint: {}\n",
                                        coala::error_name(coala::ErrorCode::Interrupted), what_is_kept(*command)));
      coala::check_options(*command);
    });
  }
  try {
    coala::check_address_space();
    std::vector<std::string> words(argv + 1, argv + argc);
    if (words.empty()) {
      coala::print_out("{}", app.help());
      return coala::exit_status(coala::ErrorCode::BadUsage);
    }
    if (words.front() == "version") words.front() = "--version";
    words = coala::with_help(app, std::move(words));
    coala::check_words(app, words);
    std::reverse(words.begin(), words.end());  // as CLI11 takes them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const auto commands = app.get_subcommands();
    const CLI::App* const command = commands.empty() ? nullptr : commands.front();
    say(fmt::format("{}: {}", coala::error_name(coala::ErrorCode::BadUsage), coala::usage_text(error, command)),
        fmt::format("coala {}{}--help tells more", command == nullptr ? "" : command->get_name(),
                    command == nullptr ? "" : " "));
    return coala::exit_status(coala::ErrorCode::BadUsage);
  } catch (const std::exception& exception) {
    const auto commands = app.get_subcommands();
    return report(exception, commands.empty() ? nullptr : commands.front());
  }
  return 0;
}

}  // namespace

#ifdef COALA_HAVE_LM
void say_assertion(const char* message) {
  coala::write_message(fmt::format("coala: {}: llama.cpp gave up: {}\n", coala::error_name(coala::ErrorCode::BadInput),
                                   coala::printable(message)));
}
#endif

int main(int argc, char** argv) {
  coala::open_standard_descriptors();
  std::setlocale(LC_ALL, "C");  // numbers have a point, whatever a preloaded library has set
  coala::install_stop_handler();
  coala::end_on_shrunk_files();
#ifdef COALA_HAVE_LM
  coala::end_on_llama_assertions(say_assertion);
#endif
  coala::Console console;
  coala::install_news_sink(&console);
  int status = run(argc, argv);
  // Both: what failed before the last bytes is not known to the flush.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && status == 0) {
    status = report(std::system_error(errno, std::generic_category(), "cannot write to standard output"), nullptr);
  }
#ifdef __SANITIZE_ADDRESS__
  return status;  // leaks are looked for as the process ends
#else
  // Without the ends of libraries: OpenBLAS waits there for threads that never end if memory was short.
  std::_Exit(status);
#endif
}
