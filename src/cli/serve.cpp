#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/check_options.h"
#include "cli/command.h"
#include "cli/model_features.h"
#include "cli/model_options.h"
#include "core/error.h"
#include "core/progress.h"
#include "decode/token_tilt.h"
#include "lm/output_matrix.h"
#include "serve/http_server.h"

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
};

/// Tokens of prompts between two tokens of the replies that are being written.
constexpr std::size_t kPromptRows = 128;
/// Conversations that are gone on with where they were, if there is room.
constexpr int kKeptTexts = 8;

/// The name of a head by its file: that of the folder that align made, or the file's own.
std::string head_name(const std::filesystem::path& path) {
  const std::string stem = path.stem().string();
  const std::string folder = std::filesystem::absolute(path).parent_path().filename().string();
  return stem == "head" && !folder.empty() ? folder : stem;
}

void serve(ServeCommand& command) {
  const Backbone backbone(command.model.file());
  ServedModel model{backbone, std::filesystem::path(command.model.model).stem().string(),
                    command.model.template_mode()};
  if (!command.heads.empty()) {
    const OutputMatrix output(backbone);
    for (const std::string& path : command.heads) {
      const Head head = load_head(path);
      if (!head.token) {
        throw Error(ErrorCode::BadUsage, fmt::format("{} has no token head, which guides every token", path),
                    "train one with coala align");
      }
      const TemplateMode mode = check_model(head, path, backbone, command.model, command.allow_unbound).template_mode;
      if (!model.heads.empty() && mode != model.mode) {
        throw Error(ErrorCode::BadUsage,
                    fmt::format("{} was trained with another template than the heads before it", path),
                    "serve them apart");
      }
      model.mode = mode;
      const std::string name = head_name(path);
      if (!model.heads.emplace(name, std::make_unique<TokenTilt>(*head.token, output, 1.0)).second) {
        throw Error(ErrorCode::BadUsage, fmt::format("two heads have the name {}", name),
                    "rename the folder or the file of one");
      }
    }
  }
  show_warnings(backbone, model.mode);
  const std::size_t context = backbone.identity().context_tokens;
  const EngineOptions options{.streams = command.parallel,
                              .cells = std::min(command.cells, context * static_cast<std::size_t>(command.parallel)),
                              .threads = chosen_threads(command.common),
                              .prompt_rows = kPromptRows,
                              .kept_texts = kKeptTexts};
  command.server.most_tokens = std::min(command.server.most_tokens, options.cells - 1);
  command.server.cells = options.cells;
  command.server.most_requests = command.queue + static_cast<std::size_t>(command.parallel);
  if (const char* key = std::getenv("COALA_API_KEY"); key != nullptr) {
    command.server.key = key;
    if (command.server.key.empty()) {
      throw Error(ErrorCode::BadUsage, "COALA_API_KEY is empty", "set a key, or unset it to let everybody ask");
    }
  }
  Scheduler scheduler(backbone, options, command.queue);
  HttpServer server(model, scheduler, command.server);
  server.run([&](int port) {
    log_line(fmt::format("serving {} at http://{}:{}/v1", fmt::join(model.names(), ", "), command.server.host, port));
  });
}

}  // namespace

void add_serve_command(CLI::App& app) {
  auto options = std::make_shared<ServeCommand>();
  CLI::App& command = *app.add_subcommand(
      "serve",
      "an OpenAI-compatible server: the model as it is and guided, each request with heads and scales of its own");
  add_model_options(command, options->model, /*required=*/true);
  command.add_option("--head", options->heads, "head file that may guide; again for more")->type_name(kInput);
  command.add_flag("--allow-unbound", options->allow_unbound, "accept a head that does not say which model it is for");
  command.add_option("--host", options->server.host, "address to listen at; 0.0.0.0: from other machines too")
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
  command.add_option("--queue", options->queue, "requests that may wait; more are refused with status 503")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 10))
      ->capture_default_str();
  add_common_options(command, options->common);
  command.callback([options] {
    set_quiet(options->common.quiet);
    serve(*options);
  });
}

}  // namespace coala
