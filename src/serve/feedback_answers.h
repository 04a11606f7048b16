#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "serve/watch.h"
#include "teach/teacher.h"

namespace coala {

/// What has been learnt, as clients see it.
nlohmann::ordered_json feedback_json(const LessonReport& report);

/// Learns from a body of /v1/feedback that read_body() has checked. It is on the disk when this returns; of a client
/// that has left before nothing is learnt.
/// @throws RequestError; what the teacher throws
nlohmann::ordered_json take_feedback(Teacher& teacher, const nlohmann::json& body, const Watch& watch);

/// Takes the last lesson back, if it is the one of this id ("": any). @throws RequestError; what the teacher throws
nlohmann::ordered_json take_back(Teacher& teacher, const std::string& id, const Watch& watch);

/// Which of the replies in a body of /v1/feedback/next should be compared. @throws RequestError; what the teacher
/// throws
nlohmann::ordered_json next_json(Teacher& teacher, const nlohmann::json& body, const Watch& watch);

/// Which lessons speak for the reply in a body of /v1/feedback/influence. @throws RequestError; what the teacher throws
nlohmann::ordered_json influence_json(Teacher& teacher, const nlohmann::json& body, const Watch& watch);

}  // namespace coala
