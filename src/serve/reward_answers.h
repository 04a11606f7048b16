#pragma once

#include <atomic>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "serve/metrics.h"
#include "serve/reward_request.h"
#include "serve/score_queue.h"
#include "serve/watch.h"

namespace coala {

/// Answers all that asks for scores: parses a body, has its items scored, and writes the answer in the shape that the
/// client knows. One item that cannot be scored fails no other; an answer without any score is an error.
class RewardAnswers {
 public:
  RewardAnswers(const CurrentModel& model, ScoreQueue& queue, Metrics& metrics)
      : model_(model), parser_(model), queue_(queue), metrics_(metrics) {}

  /// @param path  one of the addresses, with or without the version
  /// @throws Error
  nlohmann::ordered_json answer(std::string_view path, const nlohmann::json& body, const Watch& watch);

 private:
  struct Scored;
  Scored score(RewardRequest request, const Watch& watch);

  const CurrentModel& model_;
  RewardParser parser_;
  ScoreQueue& queue_;
  Metrics& metrics_;
  std::atomic<std::uint64_t> asked_{0};
};

}  // namespace coala
