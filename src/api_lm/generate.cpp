#include "coala/generate.h"

#include <algorithm>
#include <optional>

#include "api_lm/layer_settings.h"
#include "api_lm/request_engine.h"
#include "api_lm/state.h"
#include "decode/engine_room.h"

namespace coala::v1 {

std::vector<Reply> generate(const Model& model, const Request& request, const Context& context) {
  return generate(model, request, internal_settings(request), context);
}

std::vector<Reply> generate(const Model& model, const Request& request, const RequestSettings& settings,
                            const Context& context) {
  const CallScope scope(context);
  const Backbone& backbone = model.state().backbone;
  TiltTable tilts(backbone);
  const std::shared_ptr<PreparedRequest> prepared = prepare(request, settings, backbone, tilts);
  const std::size_t tokens = prepared->prompt.tokens.size();
  const int threads = threads_of(context);
  RequestEngine engine(backbone, room_for(backbone, prepared->settings, tokens, 1, threads));
  std::vector<Reply> replies;
  std::optional<Error> failure;
  engine.submit(
      prepared, request.on_text, [&](std::vector<Reply>&& written) { replies = std::move(written); },
      [&](const Error& error) { failure = error; });
  while (engine.step()) {
  }
  if (failure) throw Error(*failure);
  return replies;
}

struct [[gnu::visibility("hidden")]] Engine::State {
  State(const Model& its_model, const EngineOptions& options, const Context& its_context)
      : model(its_model),
        context(its_context),
        tilts(model.state().backbone),
        engine(model.state().backbone, options) {}

  Model model;
  Context context;
  TiltTable tilts;
  RequestEngine engine;
};

Engine::Engine(const Model& model, const EngineSettings& settings, const Context& context) {
  const CallScope scope(context);
  const int sequences = settings.streams + settings.branches + std::max(1, settings.kept_texts);
  const std::size_t most_cells = model.info().context_tokens * static_cast<std::size_t>(std::max(1, sequences));
  state_ = std::make_unique<State>(model,
                                   EngineOptions{.streams = settings.streams,
                                                 .branches = settings.branches,
                                                 .cells = std::min(settings.cells, most_cells),
                                                 .threads = threads_of(context),
                                                 .prompt_rows = settings.prompt_rows,
                                                 .kept_texts = settings.kept_texts},
                                   context);
}

Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

Engine::Ticket Engine::submit(const Request& request, OnDone on_done, OnFailure on_failure) {
  const CallScope scope(state_->context);
  return state_->engine.submit(
      prepare(request, internal_settings(request), state_->model.state().backbone, state_->tilts), request.on_text,
      std::move(on_done), std::move(on_failure));
}

bool Engine::step() {
  const CallScope scope(state_->context);
  return state_->engine.step();
}

void Engine::cancel(Ticket ticket) {
  state_->engine.cancel(ticket);
}

std::size_t Engine::waiting() const {
  return state_->engine.waiting();
}

std::size_t Engine::writing() const {
  return state_->engine.writing();
}

}  // namespace coala::v1
