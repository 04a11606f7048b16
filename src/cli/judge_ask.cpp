#include "cli/judge_ask.h"

#include <optional>
#include <vector>

#include "cli/model_features.h"
#include "core/error.h"
#include "core/hash.h"
#include "judge/ask_judges.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

void check(const AskOptions& options) {
  const auto refuse = [](const char* what, const char* hint) { throw Error(ErrorCode::BadUsage, what, hint); };
  const bool writes = !options.sources.input.model.model.empty();
  if (writes && !(options.replies.empty() && options.against.empty())) {
    refuse("replies are either in files, or written here", "leave --model out, or --replies and --against");
  }
  if (!writes && (options.replies.empty() || options.against.empty())) {
    refuse("two files of replies are compared",
           "name both: --replies FILE --against FILE; or --model, --head and --data have them written");
  }
  if (options.transcript.empty()) {
    refuse("what is asked and answered is kept in a file", "name it with --transcript; the same one goes on with it");
  }
  if (options.endpoint.empty() && options.command.empty() && options.head.empty()) {
    refuse("there is no judge",
           "name a server (--endpoint URL --judge-model NAME), a program (--judge-command) or a head that was trained "
           "on other data (--judge-head HEAD --judge-head-model MODEL)");
  }
  if (options.head.empty() != options.head_model.empty()) {
    refuse("--judge-head and --judge-head-model belong together", "name the head and the model that it is for");
  }
  if (options.endpoint.empty() != options.models.empty()) {
    refuse("--endpoint and --judge-model belong together", "name the server and the model of it that judges");
  }
}

/// A head that judges, with the model that it is for.
class LoadedHead {
 public:
  LoadedHead(const AskOptions& options, int threads)
      : model_(named(options.head_model)),
        backbone_(model_.file()),
        head_(judging_head(options)),
        features_(check_model(head_, options.head, backbone_, model_, /*allow_unbound=*/false)),
        judge_(head_, "the head " + options.head, hash_file(options.head), backbone_, features_, threads) {
    show_warnings(backbone_, features_.template_mode);
  }
  HeadJudge& judge() { return judge_; }

 private:
  static ModelOptions named(const std::string& path) {
    ModelOptions model;
    model.model = path;
    return model;
  }
  static Head judging_head(const AskOptions& options) {
    Head head = load_head(options.head);
    if (!options.sources.head.empty()) check_independent(head, options.head, load_head(options.sources.head));
    return head;
  }

  ModelOptions model_;
  Backbone backbone_;
  Head head_;
  FeatureSettings features_;
  HeadJudge judge_;
};

}  // namespace

void add_ask_options(CLI::App& command, AskOptions& options) {
  command.add_option("--replies", options.replies, "replies that are asked about, as `coala generate` writes them")
      ->type_name(kInput);
  command.add_option("--against", options.against, "replies to the same prompts that they are compared with")
      ->type_name(kInput);
  command
      .add_option("--transcript", options.transcript,
                  "file for questions and answers, a JSON line each, that is only added to; what is in it is not asked "
                  "again")
      ->type_name(kOutput);
  command.add_option("--endpoint", options.endpoint,
                     "OpenAI-compatible server up to and with /v1; its key is read from COALA_JUDGE_KEY");
  command.add_option("--judge-model", options.models, "model of the server that judges; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--task", options.task,
                  "what is asked: which of two replies is better, in both orders, or a mark from 1 to 10 for each")
      ->check(CLI::IsMember({"pairs", "marks"}))
      ->capture_default_str();
  command.add_option("--judge-command", options.command,
                     "a program that reads {\"id\", \"prompt\", \"response\"} a line and writes {\"score\"} a line");
  command.add_option("--judge-seconds", options.command_seconds, "with --judge-command: that it may take a reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--judge-head", options.head, "a head that judges, trained on other data")->type_name(kInput);
  command.add_option("--judge-head-model", options.head_model, "with --judge-head: the model that it is for (GGUF)")
      ->type_name(kInput);
  command.add_option("--parallel", options.parallel, "requests at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--retries", options.retries, "of a request that the server could not answer for now")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command.add_option("--wait", options.wait_s, "seconds before the first retry, doubled each time")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--timeout", options.timeout_s, "seconds for one answer")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  command.add_option("--most-answer-tokens", options.most_answer_tokens, "longest answer of a judge")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--most-calls", options.most_calls,
                  "requests that this run may make, retries included; 0: as many as it takes")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_source_options(command, options.sources);
  command.add_flag("--estimate", options.estimate, "say how many requests and tokens it would take, and ask nothing");
}

Json ask(AskOptions& options, const std::string& labels, const CommonOptions& common, const CLI::App& command) {
  check(options);
  if (!options.sources.input.model.model.empty()) {
    const std::array<std::string, 2> written = write_sources(options.sources, options.transcript, common, command);
    options.replies = written[0];
    options.against = written[1];
  }
  const AskSettings settings{
      .replies = options.replies,
      .against = options.against,
      .transcript = options.transcript,
      .endpoint = {options.endpoint, options.retries, options.wait_s, options.timeout_s, options.most_calls},
      .models = options.models,
      .task = options.task == "pairs" ? JudgeTask::Pairs : JudgeTask::Marks,
      .most_answer_tokens = options.most_answer_tokens,
      .parallel = options.parallel,
      .labels = labels,
      .seed = common.seed,
      .estimate = options.estimate};
  std::vector<Judge*> judges;
  std::optional<CommandJudge> program;
  if (!options.command.empty()) judges.push_back(&program.emplace(options.command, options.command_seconds));
  std::optional<LoadedHead> head;
  if (!options.head.empty() && !options.estimate) {
    judges.push_back(&head.emplace(options, chosen_threads(common)).judge());
  }
  return ask_judges(settings, judges);
}

}  // namespace coala
