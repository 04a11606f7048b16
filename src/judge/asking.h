#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "judge/endpoint.h"
#include "judge/game_line.h"
#include "judge/questions.h"
#include "judge/transcript_file.h"

namespace coala {

/// What is the same for all questions of a run.
struct AskingSettings {
  ComparedSources sources;
  JudgeTask task = JudgeTask::Pairs;
  std::string model;  ///< of the endpoint: the judge
  int most_answer_tokens = 1024;
  int parallel = 4;
};

/// What a run would ask, before it does.
struct AskingPlan {
  std::vector<JudgeQuestion> questions;  ///< that are not in the transcript
  std::size_t games = 0;                 ///< all of them, those in the transcript too
  std::size_t requests = 0;              ///< different ones whose answer is not known
  double prompt_tokens = 0;              ///< of these requests, at four bytes a token
  double most_answer_tokens = 0;
};

/// Has pairs judged by a model behind an endpoint.
class Asking {
 public:
  Asking(const std::vector<ReplyPair>& pairs, AskingSettings settings, TranscriptFile& transcript);

  const AskingPlan& plan() const { return plan_; }

  /// Asks what the transcript does not know, several at a time; each answer is in the transcript before it counts. An
  /// answer without a verdict is kept as one, and so is a question that the server refuses (400, 413, 422) as one
  /// without an answer: unless it refuses all of the first ones alike, or for a reason of another kind (401, 404).
  /// @return  whether all is judged; false when the endpoint's calls are spent
  /// @throws what Endpoint::complete() and Endpoint::error_of() throw, after the answers that were under way are kept
  bool ask(Endpoint& endpoint);

  /// The transcript's lines of all games that are played. Each game's line is there once.
  std::vector<nlohmann::ordered_json> lines() const;

 private:
  /// Questions that are the same: the first is asked.
  using Group = std::vector<const JudgeQuestion*>;

  nlohmann::ordered_json request_of(const JudgeQuestion& question) const;
  std::string key_of(const nlohmann::ordered_json& request) const;
  std::string game_of(const JudgeQuestion& question, const std::string& key) const;
  std::vector<Group> groups() const;
  EndpointAnswer complete(Endpoint& endpoint, nlohmann::ordered_json& request);
  nlohmann::ordered_json answer_of(Endpoint& endpoint, nlohmann::ordered_json request);
  std::vector<nlohmann::ordered_json> lines_of(Endpoint& endpoint, const Group& group);

  const std::vector<ReplyPair>& pairs_;
  AskingSettings settings_;
  TranscriptFile& transcript_;
  std::vector<JudgeQuestion> all_;
  AskingPlan plan_;
  /// Whether the server gives the probabilities of tokens when it is asked for them.
  enum class Probabilities { Untried, Given, Refused };
  std::atomic<Probabilities> probabilities_{Probabilities::Untried};
};

/// Adds to a line what its answer says: "verdict" or "mark", null where there is none.
void read_answer(JudgeTask task, nlohmann::ordered_json& line);

}  // namespace coala
