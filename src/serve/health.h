#pragma once

#include <chrono>
#include <nlohmann/json.hpp>

#include "serve/scheduler.h"
#include "serve/score_queue.h"

namespace coala {

/// The body of /health. "status" is "ok", or "stuck" where there is something to do and nothing moves.
/// @param lesson_s    how long the lesson that is being learnt has taken; 0: there is none
/// @param time_limit  of requests: nobody waits longer for a batch of texts, or for a lesson
nlohmann::ordered_json health_json(const Scheduler::Load& writing, const ScoreQueue::Load& scoring, double lesson_s,
                                   std::chrono::seconds time_limit);

}  // namespace coala
