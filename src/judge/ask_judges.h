#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "judge/endpoint.h"
#include "judge/judge.h"
#include "judge/questions.h"

namespace coala {

/// Two sources of replies, and what is asked about them.
struct AskSettings {
  std::string replies, against;     ///< files
  std::string transcript;           ///< file of what was asked and answered, which grows
  EndpointSettings endpoint;        ///< of models that judge; without a URL: none
  std::vector<std::string> models;  ///< of the endpoint
  JudgeTask task = JudgeTask::Pairs;
  int most_answer_tokens = 1024;
  int parallel = 4;        ///< requests at a time
  std::string labels;      ///< file of what people said; "": none
  std::uint64_t seed = 0;  ///< of intervals
  bool estimate = false;   ///< say what it would take, and ask nobody
};

/// Has what is not in the transcript judged, and gives the comparison of all that is.
/// @param judges  that give each reply a score, beside the endpoint's models
/// @throws Error{BadInput, Mismatch, Io, Interrupted}, and what judges throw
nlohmann::ordered_json ask_judges(const AskSettings& settings, std::span<Judge* const> judges);

}  // namespace coala
