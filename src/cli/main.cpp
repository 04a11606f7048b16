#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string_view>
#include <system_error>

#include "cli/address_space.h"
#include "cli/command.h"
#include "cli/console.h"
#include "cli/reference.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/version.h"

namespace {

/// What is left of a command that was stopped, and what the same command does next.
std::string_view what_is_kept(std::string_view command) {
  if (command == "extract") return "what is evaluated is kept: the same command goes on where it was";
  if (command == "align") return "evaluated features are kept, training starts anew: run the same command again";
  if (command == "train") return "nothing is kept, a head is written at the end: the same command starts anew";
  if (command == "generate") return "replies that are in --out are kept: the same command goes on after them";
  return "nothing is kept: the same command starts anew";
}

/// One message and the exit status for whatever ends a command.
/// @param command  which, empty when it is not known
int report(const std::exception& exception, std::string_view command) {
  if (const auto* error = dynamic_cast<const coala::Error*>(&exception)) {
    fmt::print(stderr, "coala: {}: {}\n", coala::error_name(error->code()), error->what());
    std::string_view hint = error->hint();
    if (hint.empty() && error->code() == coala::ErrorCode::Interrupted) hint = what_is_kept(command);
    if (!hint.empty()) fmt::print(stderr, "  hint: {}\n", hint);
    return coala::exit_status(error->code());
  }
  if (dynamic_cast<const std::system_error*>(&exception) != nullptr) {
    fmt::print(stderr, "coala: {}: {}\n  hint: check that the folder exists, may be written and has room\n",
               coala::error_name(coala::ErrorCode::Io), exception.what());
    return coala::exit_status(coala::ErrorCode::Io);
  }
  if (dynamic_cast<const std::bad_alloc*>(&exception) != nullptr) {
    fmt::print(stderr, "coala: out of memory\n  hint: use less data at once, or a machine with more memory\n");
    return 1;
  }
  fmt::print(stderr, "coala: internal error: {}\n", exception.what());
  return 1;
}

int run(int argc, char** argv) {
  CLI::App app{"coala aligns a language model to preferences without training it"};
  app.set_version_flag("--version", std::string("coala ") + coala::kVersion);
  // Ends the parsing as --version does, and prints the text.
  app.add_flag_callback(
      "--help-markdown", [&app] { throw CLI::CallForVersion(coala::markdown_reference(app), 0); },
      "print all commands and options as Markdown (docs/cli.md) and exit");
  app.require_subcommand(1);
  app.fallthrough(false);
  coala::add_prepare_command(app);
  coala::add_train_command(app);
  coala::add_eval_command(app);
  coala::add_inspect_command(app);
#ifdef COALA_HAVE_LM
  coala::add_align_command(app);
  coala::add_extract_command(app);
  coala::add_generate_command(app);
  coala::add_export_command(app);
  coala::add_score_command(app);
#endif
  try {
    coala::check_address_space();
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has its own exit codes; ours are 0 for --help and 2 for bad usage.
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& exception) {
    const auto commands = app.get_subcommands();
    return report(exception, commands.empty() ? std::string() : commands.front()->get_name());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_ALL, "C");  // numbers have a point, whatever a preloaded library has set
  coala::install_interrupt_handler();
  coala::Console console;
  coala::install_news_sink(&console);
  int status = run(argc, argv);
  // Both: what failed before the last bytes is not known to the flush.
  if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && status == 0) {
    status = report(std::system_error(errno, std::generic_category(), "cannot write to standard output"), "");
  }
#ifdef __SANITIZE_ADDRESS__
  return status;  // leaks are looked for as the process ends
#else
  // Without the ends of libraries: OpenBLAS waits there for threads that never end if memory was short.
  std::_Exit(status);
#endif
}
