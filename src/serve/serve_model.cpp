#include "serve/serve_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/progress.h"
#include "lm/output_matrix.h"
#include "serve/head_loader.h"
#include "serve/operations.h"
#include "teach/teacher.h"

namespace coala {
namespace {

/// Tokens of prompts between two tokens of the replies that are being written.
constexpr std::size_t kPromptRows = 128;
/// Conversations that are gone on with where they were, if there is room.
constexpr int kKeptTexts = 8;
/// Texts that may wait to be scored.
constexpr std::size_t kMostItemsWaiting = 4096;

/// What clients teach begins with the only head that guides, if there is one.
Teacher& begin_teaching(const ServeSettings& settings, const std::shared_ptr<const OutputMatrix>& output,
                        const ServedModel& model, std::optional<Teacher>& teacher) {
  if (model.rewards.contains(ServedModel::kTaught)) {
    throw Error(ErrorCode::BadUsage, fmt::format("a head has the name {}", ServedModel::kTaught),
                "rename its folder or its file: what is taught has that name");
  }
  TeacherOptions options;
  options.pairs = settings.teach;
  options.features.template_mode = model.mode;
  options.threads = settings.threads;
  options.seed = settings.seed;
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

EngineOptions engine_options(const ServeSettings& settings, std::size_t context) {
  const int texts = settings.parallel + static_cast<int>(kMostCandidates) + kKeptTexts;
  return {.streams = settings.parallel,
          .branches = static_cast<int>(kMostCandidates),
          .cells = std::min(settings.cells, context * static_cast<std::size_t>(texts)),
          .threads = settings.threads,
          .prompt_rows = kPromptRows,
          .kept_texts = kKeptTexts};
}

/// What the server must know of the engine.
ServerOptions server_options(const ServeSettings& settings, const EngineOptions& engine, std::size_t context) {
  ServerOptions options = settings.server;
  options.most_tokens = std::min(options.most_tokens, engine.cells - 1);
  options.cells = engine.cells;
  const std::size_t room = std::min(engine.cells, context);
  options.most_prompt_tokens = settings.most_prompt_tokens == 0 ? room : std::min(settings.most_prompt_tokens, room);
  options.most_requests = settings.queue + static_cast<std::size_t>(settings.parallel);
  options.streams = settings.parallel;
  options.threads = settings.threads;
  return options;
}

}  // namespace

void serve_model(const Backbone& backbone, ServeSettings settings, const Hangup& hangup,
                 const std::function<void(const Serving&)>& on_ready) {
  ServedModel model{.backbone = backbone, .name = settings.name, .mode = settings.mode.value_or(TemplateMode::Model)};
  std::shared_ptr<const OutputMatrix> output;
  if (!settings.heads.empty() || !settings.teach.empty()) output = std::make_shared<const OutputMatrix>(backbone);
  const HeadLoader loader(output, {settings.mode, settings.allow_unbound, settings.report, settings.threads});
  for (const std::string& path : settings.heads) loader.add(path, model);
  for (const std::string& warning : backbone.warnings(model.mode)) log_warning(warning);
  std::optional<Teacher> teacher;
  if (!settings.teach.empty()) model.teacher = &begin_teaching(settings, output, model, teacher);
  const std::size_t context = backbone.identity().context_tokens;
  const EngineOptions engine = engine_options(settings, context);
  Metrics metrics;
  Scheduler scheduler(backbone, engine, settings.queue);
  ScoreQueue scores(kMostItemsWaiting, metrics);
  CurrentModel current(std::make_shared<const ServedModel>(model));
  HttpServer server(current, scheduler, scores, metrics, server_options(settings, engine, context));
  const std::jthread rereading(
      [&](const std::stop_token& stop) { reread_when_told(stop, hangup, loader, current, metrics); });
  server.run([&](int port) { on_ready({model.names(), port}); });
}

}  // namespace coala
