#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/model_options.h"
#include "core/error.h"
#include "core/hangup.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "serve/serve_model.h"
#include "terminal/path_kinds.h"

namespace coala {
namespace {

struct ServeCommand {
  CommonOptions common;
  ModelOptions model;
  ServeSettings settings;
  int time_limit_s = 600;
};

void set_key(ServerOptions& server) {
  const char* const key = std::getenv("COALA_API_KEY");
  if (key == nullptr) return;
  server.key = key;
  if (server.key.empty()) {
    throw Error(ErrorCode::BadUsage, "COALA_API_KEY is empty", "set a key, or unset it to let everybody ask");
  }
}

void run_serve(const ServeCommand& command) {
  set_quiet(command.common.quiet);
  constexpr int kStopGrace_ms = 10'000;  // a busy machine may take a while to tell every client
  set_stop_grace(kStopGrace_ms);
  const Hangup hangup;
  ServeSettings settings = command.settings;
  set_key(settings.server);
  settings.server.time_limit = std::chrono::seconds(command.time_limit_s);
  settings.server.validate();
  if (!settings.report.empty() && settings.heads.size() != 1) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("--head-report is of one head, and {} are served", settings.heads.size()),
                "reports beside heads (report.html) are found without it");
  }
  settings.name = std::filesystem::path(command.model.model).stem().string();
  if (!command.model.chat_template.empty()) settings.mode = command.model.template_mode();
  settings.seed = command.common.seed;
  const Backbone backbone(command.model.file());
  settings.threads = chosen_threads(command.common);
  const std::string& host = settings.server.host;
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";  // of IPv6
  serve_model(backbone, settings, hangup, [&](const Serving& serving) {
    const std::string address = fmt::format("http://{}:{}", name, serving.port);
    log_line(fmt::format("serving {} at {}/v1; a page at {}/", fmt::join(serving.names, ", "), address, address));
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
      .add_option("--head", options->settings.heads,
                  "head file that scores, and guides if it has a token head; again for more")
      ->type_name(kInput);
  command
      .add_option("--head-report", options->settings.report,
                  "report of the head, to be seen at /report; without it report.html beside each head")
      ->type_name(kInput);
  command.add_flag("--allow-unbound", options->settings.allow_unbound,
                   "accept a head that does not say which model it is for");
  command
      .add_option("--host", options->settings.server.host,
                  "address to listen at; 0.0.0.0: from other machines too, which needs a key in COALA_API_KEY")
      ->capture_default_str();
  command.add_option("--port", options->settings.server.port, "port; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  command.add_option("--parallel", options->settings.parallel, "replies that are written together")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  command
      .add_option("--cells", options->settings.cells, "tokens of prompts and replies that fit into the cache together")
      ->check(CLI::Range(std::size_t{16}, std::size_t{1} << 24))
      ->capture_default_str();
  command
      .add_option("--max-tokens", options->settings.server.most_tokens,
                  "most tokens of a reply, also where a request names none")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 20))
      ->capture_default_str();
  command.add_option("--queue", options->settings.queue, "requests that may wait; more are refused with status 429")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 10))
      ->capture_default_str();
  command
      .add_option("--max-prompt-tokens", options->settings.most_prompt_tokens,
                  "most tokens of a prompt; 0: as many as there is room for")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1} << 24))
      ->capture_default_str();
  command.add_option("--time-limit", options->time_limit_s, "seconds that a request may take, waiting included")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  command
      .add_option("--allow-origin", options->settings.server.origins,
                  "origin of web pages that may ask (https://example.org), or *; again for more")
      ->type_name("ORIGIN");
  command
      .add_option("--teach", options->settings.teach,
                  "file of pairs that grows as clients say which replies are better (/v1/feedback): a head learns from "
                  "it at once, beginning with the one of --head")
      ->type_name(kOutput);
  command.add_flag("--strict-parameters", options->settings.server.strict,
                   "refuse parameters that are not known, instead of ignoring them");
  add_common_options(command, options->common);
  command.callback([options] { run_serve(*options); });
}

}  // namespace coala
