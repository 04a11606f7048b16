#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "serve/served_model.h"

namespace coala {

/// What a server allows, for clients that want to know.
struct ServedLimits {
  std::size_t most_tokens = 0;         ///< of a reply
  std::size_t most_prompt_tokens = 0;  ///< of a prompt
  std::size_t cells = 0;               ///< of a prompt with its reply
  int streams = 0;                     ///< replies that are written together
};

/// The bodies of /v1/models, and of one model of it. @throws RequestError for a name that is not there
nlohmann::ordered_json models_json(const ServedModel& model, const ServedLimits& limits);
nlohmann::ordered_json model_json(const ServedModel& model, const ServedLimits& limits, const std::string& name);
/// The body of /props, in the shape of llama.cpp's server.
nlohmann::ordered_json props_json(const ServedModel& model, const ServedLimits& limits, const std::string& version);

/// The bodies of /tokenize and /detokenize, in the shapes of llama.cpp's server and of vLLM's.
/// @param body  that read_body() has checked
/// @throws RequestError
nlohmann::ordered_json tokenize_json(const ServedModel& model, const nlohmann::json& body);
nlohmann::ordered_json detokenize_json(const ServedModel& model, const nlohmann::json& body);

}  // namespace coala
