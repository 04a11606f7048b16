#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/command.h"
#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "tally/annotation_tables.h"
#include "tally/annotation_text.h"
#include "terminal/path_kinds.h"
#ifdef COALA_HAVE_LM
#include "cli/judge_ask.h"
#endif

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct JudgeCommand {
  CommonOptions common;
  AnnotationSettings annotations;
#ifdef COALA_HAVE_LM
  AskOptions ask;
#endif
  std::string out;
};

void add_annotation_options(CLI::App& command, AnnotationSettings& settings) {
  command
      .add_option("--annotations", settings.files,
                  "annotations of AlpacaEval, Arena-Hard or MT-Bench, or a transcript of this command")
      ->type_name(kData);
  command.add_option("--format", settings.format, "whose annotations they are")
      ->check(CLI::IsMember({"auto", "alpaca-eval", "arena-hard", "mt-bench", "coala"}))
      ->capture_default_str();
  command
      .add_option("--instruction-difficulty", settings.difficulties,
                  "AlpacaEval 2: CSV of the instructions' published difficulties")
      ->type_name(kInput);
  command.add_option("--gamed-baseline", settings.gamed, "AlpacaEval 2: CSV of the gamed baseline's rows")
      ->type_name(kInput);
  command
      .add_option(
          "--gamed-sums", settings.gamed_sums,
          "AlpacaEval 2: JSON of the sums of the gamed baseline's preferences times features, where the CSV has "
          "no preferences")
      ->type_name(kInput);
  command.add_option("--arena-version", settings.arena, "Arena-Hard's version; auto: by the name of the question's id")
      ->check(CLI::IsMember({"auto", "v0.1", "v2.0"}))
      ->capture_default_str();
  command.add_option("--control", settings.control, "Arena-Hard: style features to control for, separated by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"length", "markdown"}));
  command.add_option("--answers", settings.answers, "Arena-Hard: answers with their metadata, for --control")
      ->type_name(kData);
  command.add_option(
      "--baseline", settings.baseline,
      "Arena-Hard: model that the others are compared with, where the judgments do not say it; MT-Bench: "
      "only pairs with this model");
  command
      .add_option("--labels", settings.labels,
                  "of replies that are asked about, or of a transcript: what people said, {\"id\", \"better\"} a line, "
                  "better being replies, against or tie; and \"index\" where several replies have one id")
      ->type_name(kInput);
}

Json result_of(JudgeCommand& command, const CLI::App& app) {
#ifdef COALA_HAVE_LM
  const bool asks =
      !command.ask.replies.empty() || !command.ask.against.empty() || !command.ask.sources.input.model.model.empty();
  if (asks == !command.annotations.files.empty()) {
    throw Error(ErrorCode::BadUsage, "name either annotations that exist already, or replies that are to be judged",
                "use --annotations FILE, or --replies FILE --against FILE with a judge, or --model, --head and --data "
                "in place of the two files");
  }
  if (asks) return ask(command.ask, command.annotations.labels, command.common, app);
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
