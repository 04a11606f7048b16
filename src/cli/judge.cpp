#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/judge_tables.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#ifdef COALA_HAVE_LM
#include "cli/judge_ask.h"
#endif

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct JudgeCommand {
  CommonOptions common;
  AnnotationOptions annotations;
#ifdef COALA_HAVE_LM
  AskOptions ask;
#endif
  std::string out;
};

Json result_of(JudgeCommand& command, const CLI::App& app) {
#ifdef COALA_HAVE_LM
  const bool asks =
      !command.ask.replies.empty() || !command.ask.against.empty() || !command.ask.sources.input.model.model.empty();
  if (asks == !command.annotations.files.empty()) {
    throw Error(ErrorCode::BadUsage, "name either annotations that exist already, or replies that are to be judged",
                "use --annotations FILE, or --replies FILE --against FILE with a judge, or --model, --head and --data "
                "in place of the two files");
  }
  if (asks) return ask_judges(command.ask, command.annotations.labels, command.common, app);
#else
  if (command.annotations.files.empty()) {
    throw Error(ErrorCode::BadUsage, "there are no annotations to add up", "name them with --annotations");
  }
#endif
  constexpr std::uint32_t kPublishedSeed = 42;  // Arena-Hard v0.1's
  const bool seeded = app.get_option("--seed")->count() > 0;
  return annotation_table(command.annotations, command.common.seed,
                          seeded ? static_cast<std::uint32_t>(command.common.seed) : kPublishedSeed);
}

void run_judge(JudgeCommand& command, const CLI::App& app) {
  set_quiet(command.common.quiet);
  const Json result = result_of(command, app);
  if (!command.out.empty()) {
    write_file(command.out, result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  if (command.common.json) {
    print_json(result);
  } else {
    print_out("{}", annotation_text(result));
  }
}

}  // namespace

void add_judge_command(CLI::App& app) {
  auto options = std::make_shared<JudgeCommand>();
#ifdef COALA_HAVE_LM
  const char* const what = "compare two sources of replies by judges, or add up annotations as published benchmarks do";
#else
  const char* const what = "add up annotations as published benchmarks do";
#endif
  CLI::App& command = *app.add_subcommand("judge", what);
#ifdef COALA_HAVE_LM
  add_ask_options(command, options->ask);
#endif
  add_annotation_options(command, options->annotations);
  command.add_option("--out", options->out, "file for the result, as --json prints it")->type_name(kOutput);
  add_common_options(command, options->common);
  command.callback([options, &command] { run_judge(*options, command); });
}

}  // namespace coala
