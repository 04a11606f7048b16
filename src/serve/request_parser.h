#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "decode/engine.h"
#include "decode/logits_processor.h"
#include "serve/operations.h"
#include "serve/served_model.h"

namespace coala {

/// What a client asks to be written, in the shape of OpenAI's API.
struct Asked {
  std::string model;  ///< the name that guides as the request does
  bool streams = false;
  bool includes_usage = false;  ///< in a stream
  /// Each has one candidate; no callbacks yet. Those of one prompt have seeds that follow each other.
  std::vector<Request> requests;
  std::size_t prompt_tokens = 0;                     ///< of the different prompts together
  std::map<std::string, double> heads;               ///< that guide, and their scales
  std::string guidance = "none";                     ///< how
  std::uint64_t seed = 0;                            ///< of the first
  std::shared_ptr<const LogitsProcessor> tilt = {};  ///< what the requests' settings point to
  std::shared_ptr<const ServedReward> reward = {};   ///< the same
  bool names_length = false;                         ///< whether it says how long a reply may be
  bool with_logprobs = false;                        ///< of each token, in the answer
};

/// Messages of a body that read_body() has checked. @throws RequestError for what no message can be
std::vector<Message> messages_of(const nlohmann::json& list, const std::string& where);

/// Makes requests of bodies that read_body() has checked.
class RequestParser {
 public:
  /// @param most_tokens        of a reply, also where a request does not say
  /// @param cells              tokens of a prompt with its reply
  /// @param most_prompt_tokens of a prompt
  RequestParser(const ServedModel& model, std::size_t most_tokens, std::size_t cells, std::size_t most_prompt_tokens)
      : model_(model), most_tokens_(most_tokens), cells_(cells), most_prompt_tokens_(most_prompt_tokens) {}

  /// Bodies of /v1/chat/completions and /v1/completions. From any thread.
  /// @throws RequestError
  Asked parse_chat(const nlohmann::json& body) const;
  Asked parse_completion(const nlohmann::json& body) const;

 private:
  Asked parse_common(const nlohmann::json& body) const;
  GenerationSettings settings_of(const nlohmann::json& body, Asked& asked) const;
  void choose_heads(const nlohmann::json& body, Asked& asked) const;
  void choose_guidance(const nlohmann::json& body, Asked& asked, GenerationSettings& settings) const;
  void add_prompt(Asked& asked, const Prompt& prompt, TemplateMode mode, bool thinks, std::size_t count,
                  const GenerationSettings& settings) const;

  const ServedModel& model_;
  std::size_t most_tokens_;
  std::size_t cells_;
  std::size_t most_prompt_tokens_;
};

}  // namespace coala
