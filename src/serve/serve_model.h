#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/hangup.h"
#include "lm/backbone.h"
#include "serve/http_server.h"

namespace coala {

/// A model as it is served.
struct ServeSettings {
  std::string name;                    ///< of the model, for clients
  std::optional<TemplateMode> mode;    ///< how messages become text; absent: as the heads say, else the model's
  std::vector<std::string> heads;      ///< files
  bool allow_unbound = false;          ///< heads that do not say which model they are for are accepted
  std::string report;                  ///< of the only head; "": what is beside each
  int parallel = 4;                    ///< replies that are written together
  std::size_t cells = 8192;            ///< tokens of prompts and replies that fit into the cache together
  std::size_t queue = 64;              ///< requests that may wait
  std::size_t most_prompt_tokens = 0;  ///< of a prompt; 0: as many as there is room for
  std::filesystem::path teach;         ///< file of what clients say of replies; "": nothing is taught
  std::uint64_t seed = 0;
  int threads = 1;
  ServerOptions server;  ///< without what follows from the above
};

/// What is served, and where.
struct Serving {
  std::vector<std::string> names;  ///< of the model as it is and with each head
  int port = 0;
};

/// Serves a model and heads for it until the user's interrupt; heads are read again when told so. What clients teach
/// begins with the only head that guides, if there is one.
/// @throws Error{BadUsage} for settings that do not go together, and as HeadLoader::add() and HttpServer::run()
void serve_model(const Backbone& backbone, ServeSettings settings, const Hangup& hangup,
                 const std::function<void(const Serving&)>& on_ready);

}  // namespace coala
