#pragma once

#include <nlohmann/json.hpp>

#include "teach/teacher.h"

namespace coala {

/// What has been learnt, as clients see it.
nlohmann::ordered_json feedback_json(const LessonReport& report);

/// Learns from a body of /v1/feedback that read_body() has checked. It is on the disk when this returns.
/// @throws RequestError; what the teacher throws
nlohmann::ordered_json take_feedback(Teacher& teacher, const nlohmann::json& body);

}  // namespace coala
