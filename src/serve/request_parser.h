#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "decode/engine.h"
#include "decode/tilt_mixture.h"
#include "serve/served_model.h"

namespace coala {

/// What a client asks for, in the shape of OpenAI's API.
struct Asked {
  std::string model;  ///< as it is named
  bool streams = false;
  bool includes_usage = false;  ///< in a stream
  /// Each has one candidate; no callbacks yet. Those of one prompt have seeds that follow each other.
  std::vector<Request> requests;
  std::size_t prompt_tokens = 0;                 ///< of the different prompts together
  std::map<std::string, double> heads;           ///< that guide, and their scales
  std::uint64_t seed = 0;                        ///< of the first
  std::shared_ptr<const TiltMixture> tilt = {};  ///< what the requests' settings point to
};

/// Reads requests. Known fields that would change the answer and are not there are refused; unknown ones are ignored.
class RequestParser {
 public:
  /// @param most_tokens  of a reply, also where a request does not say
  /// @param cells        tokens of a prompt with its reply
  RequestParser(const ServedModel& model, std::size_t most_tokens, std::size_t cells)
      : model_(model), most_tokens_(most_tokens), cells_(cells) {}

  /// Bodies of /v1/chat/completions and /v1/completions. From any thread.
  /// @throws Error{BadInput} for one that is wrong, Error{Mismatch} for a model or head that is not there
  Asked parse_chat(const std::string& body) const;
  Asked parse_completion(const std::string& body) const;

 private:
  Asked parse_common(const nlohmann::json& body) const;
  GenerationSettings settings_of(const nlohmann::json& body, Asked& asked) const;
  void choose_guidance(const nlohmann::json& body, Asked& asked) const;
  void add_prompt(Asked& asked, const Prompt& prompt, TemplateMode mode, bool thinks, std::int64_t count,
                  const GenerationSettings& settings) const;

  const ServedModel& model_;
  std::size_t most_tokens_;
  std::size_t cells_;
};

}  // namespace coala
