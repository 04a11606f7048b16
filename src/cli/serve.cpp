#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/model_options.h"
#include "core/error.h"
#include "core/hangup.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "lm/output_matrix.h"
#include "serve/head_loader.h"
#include "serve/http_server.h"
#include "serve/operations.h"
#include "teach/teacher.h"

namespace coala {
namespace {

struct ServeCommand {
  CommonOptions common;
  ModelOptions model;
  std::vector<std::string> heads;
  bool allow_unbound = false;
  ServerOptions server;
  int parallel = 4;
  std::size_t cells = 8192;
  std::size_t queue = 64;
  std::size_t most_prompt_tokens = 0;
  int time_limit_s = 600;
  std::string teach;
  std::string report;
};

/// Tokens of prompts between two tokens of the replies that are being written.
constexpr std::size_t kPromptRows = 128;
/// Conversations that are gone on with where they were, if there is room.
constexpr int kKeptTexts = 8;
/// Texts that may wait to be scored.
constexpr std::size_t kMostItemsWaiting = 4096;

/// What clients teach begins with the only head that guides, if there is one.
Teacher& begin_teaching(const ServeCommand& command, const std::shared_ptr<const OutputMatrix>& output,
                        const ServedModel& model, std::optional<Teacher>& teacher) {
  if (model.rewards.contains(ServedModel::kTaught)) {
    throw Error(ErrorCode::BadUsage, fmt::format("a head has the name {}", ServedModel::kTaught),
                "rename its folder or its file: what is taught has that name");
  }
  TeacherOptions options;
  options.pairs = command.teach;
  options.features.template_mode = model.mode;
  options.threads = chosen_threads(command.common);
  options.seed = command.common.seed;
  if (model.heads.size() == 1) options.prior = &model.rewards.at(model.heads.begin()->first)->head;
  teacher.emplace(model.backbone, output, options);
  return *teacher;
}

/// Reads the heads' files again whenever somebody sends SIGHUP, until it is stopped.
void reread_when_told(const std::stop_token& stop, const Hangup& hangup, const HeadLoader& loader, CurrentModel& model,
                      Metrics& metrics) {
  constexpr std::chrono::milliseconds kLook{100};
  try {
    while (!stop.stop_requested()) {
      if (hangup.wait(kLook)) loader.reread(model, metrics);
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Interrupted) throw;  // the server ends
  }
}

void serve(ServeCommand& command) {
  constexpr int kStopGrace_ms = 10'000;  // a busy machine may take a while to tell every client
  set_stop_grace(kStopGrace_ms);
  const Hangup hangup;
  if (const char* key = std::getenv("COALA_API_KEY"); key != nullptr) {
    command.server.key = key;
    if (command.server.key.empty()) {
      throw Error(ErrorCode::BadUsage, "COALA_API_KEY is empty", "set a key, or unset it to let everybody ask");
    }
  }
  command.server.validate();
  const Backbone backbone(command.model.file());
  ServedModel model{.backbone = backbone,
                    .name = std::filesystem::path(command.model.model).stem().string(),
                    .mode = command.model.template_mode()};
  if (!command.report.empty() && command.heads.size() != 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("--head-report is of one head, and {} are served", command.heads.size()),
                "reports beside heads (report.html) are found without it");
  }
  std::shared_ptr<const OutputMatrix> output;
  if (!command.heads.empty() || !command.teach.empty()) output = std::make_shared<const OutputMatrix>(backbone);
  HeadLoading loading;
  loading.allow_unbound = command.allow_unbound;
  loading.report = command.report;
  loading.threads = chosen_threads(command.common);
  if (!command.model.chat_template.empty()) loading.mode = model.mode;
  const HeadLoader loader(output, std::move(loading));
  for (const std::string& path : command.heads) loader.add(path, model);
  show_warnings(backbone, model.mode);
  std::optional<Teacher> teacher;
  if (!command.teach.empty()) model.teacher = &begin_teaching(command, output, model, teacher);
  const std::size_t context = backbone.identity().context_tokens;
  const EngineOptions options{
      .streams = command.parallel,
      .branches = static_cast<int>(kMostCandidates),
      .cells = std::min(
          command.cells,
          context * static_cast<std::size_t>(command.parallel + static_cast<int>(kMostCandidates) + kKeptTexts)),
      .threads = chosen_threads(command.common),
      .prompt_rows = kPromptRows,
      .kept_texts = kKeptTexts};
  command.server.most_tokens = std::min(command.server.most_tokens, options.cells - 1);
  command.server.cells = options.cells;
  const std::size_t room = std::min(options.cells, context);
  command.server.most_prompt_tokens =
      command.most_prompt_tokens == 0 ? room : std::min(command.most_prompt_tokens, room);
  command.server.most_requests = command.queue + static_cast<std::size_t>(command.parallel);
  command.server.streams = command.parallel;
  command.server.threads = options.threads;
  command.server.time_limit = std::chrono::seconds(command.time_limit_s);
  Metrics metrics;
  Scheduler scheduler(backbone, options, command.queue);
  ScoreQueue scores(kMostItemsWaiting, metrics);
  CurrentModel current(std::make_shared<const ServedModel>(model));
  HttpServer server(current, scheduler, scores, metrics, command.server);
  const std::jthread rereading(
      [&](const std::stop_token& stop) { reread_when_told(stop, hangup, loader, current, metrics); });
  server.run([&](int port) {
    const bool is_ipv6 = command.server.host.find(':') != std::string::npos;
    const std::string address =
        fmt::format("http://{}:{}", is_ipv6 ? "[" + command.server.host + "]" : command.server.host, port);
    log_line(fmt::format("serving {} at {}/v1; a page at {}/", fmt::join(model.names(), ", "), address, address));
  });
}

}  // namespace

void add_serve_command(CLI::App& app) {
  auto options = std::make_shared<ServeCommand>();
  CLI::App& command = *app.add_subcommand(
      "serve",
      "an OpenAI-compatible server: the model as it is and guided, each request with heads and scales of its own; and "
      "the scores of its heads, as reward servers give them");
  add_model_options(command, options->model, /*required=*/true);
  command
      .add_option("--head", options->heads, "head file that scores, and guides if it has a token head; again for more")
      ->type_name(kInput);
  command
      .add_option("--head-report", options->report,
                  "report of the head, to be seen at /report; without it report.html beside each head")
      ->type_name(kInput);
  command.add_flag("--allow-unbound", options->allow_unbound, "accept a head that does not say which model it is for");
  command
      .add_option("--host", options->server.host,
                  "address to listen at; 0.0.0.0: from other machines too, which needs a key in COALA_API_KEY")
      ->capture_default_str();
  command.add_option("--port", options->server.port, "port; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command.add_option("--parallel", options->parallel, "replies that are written together")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command.add_option("--cells", options->cells, "tokens of prompts and replies that fit into the cache together")
      ->check(CLI::Range(std::size_t{16}, std::size_t{1} << 24))
      ->capture_default_str();
  command
      .add_option("--max-tokens", options->server.most_tokens,
                  "most tokens of a reply, also where a request names none")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->capture_default_str();
  command.add_option("--queue", options->queue, "requests that may wait; more are refused with status 429")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 10))
      ->capture_default_str();
  command
      .add_option("--max-prompt-tokens", options->most_prompt_tokens,
                  "most tokens of a prompt; 0: as many as there is room for")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 24))
      ->capture_default_str();
  command.add_option("--time-limit", options->time_limit_s, "seconds that a request may take, waiting included")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  command
      .add_option("--allow-origin", options->server.origins,
                  "origin of web pages that may ask (https://example.org), or *; again for more")
      ->type_name("ORIGIN");
  command
      .add_option("--teach", options->teach,
                  "file of pairs that grows as clients say which replies are better (/v1/feedback): a head learns from "
                  "it at once, beginning with the one of --head")
      ->type_name(kOutput);
  command.add_flag("--strict-parameters", options->server.strict,
                   "refuse parameters that are not known, instead of ignoring them");
  add_common_options(command, options->common);
  command.callback([options] {
    set_quiet(options->common.quiet);
    serve(*options);
  });
}

}  // namespace coala
