#include "serve/health.h"

#include <algorithm>

namespace coala {
namespace {

/// One that takes so long will not end by itself. A batch of texts, or a lesson, may take as long as a request may.
constexpr double kLongestStep_s = 120;

}  // namespace

nlohmann::ordered_json health_json(const Scheduler::Load& writing, const ScoreQueue::Load& scoring, double lesson_s,
                                   std::chrono::seconds time_limit) {
  const auto longest_s = static_cast<double>(time_limit.count());
  const bool is_well = writing.last_step_s < kLongestStep_s && std::max(scoring.last_batch_s, lesson_s) < longest_s;
  return {{"status", is_well ? "ok" : "stuck"},
          {"waiting", writing.waiting},
          {"writing", writing.writing},
          {"items_waiting", scoring.waiting},
          {"last_step_s", writing.last_step_s},
          {"last_batch_s", scoring.last_batch_s},
          {"lesson_s", lesson_s}};
}

}  // namespace coala
