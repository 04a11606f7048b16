#include "serve/feedback_answers.h"

#include <fmt/format.h>

#include <string>

#include "serve/operations.h"
#include "serve/request_error.h"
#include "serve/request_parser.h"
#include "serve/served_model.h"

namespace coala {

nlohmann::ordered_json feedback_json(const Teacher& teacher) {
  const LessonReport report = teacher.report();
  return {{"object", "feedback"},
          {"head", ServedModel::kTaught},
          {"pairs", report.pairs},
          {"ratings", report.ratings},
          {"accuracy",
           {{"value", report.accuracy},
            {"low", report.interval.low},
            {"high", report.interval.high},
            {"lessons", report.pairs + report.ratings}}},
          {"reliability", report.reliability},
          {"last_log_odds", report.last_log_odds},
          {"raised", report.raised},
          {"lowered", report.lowered},
          {"seconds", {{"evaluation", report.evaluation_s}, {"solution", report.solution_s}}}};
}

nlohmann::ordered_json take_feedback(Teacher& teacher, const nlohmann::json& body) {
  const Prompt prompt{messages_of(body["messages"], "messages"), ""};
  const auto text_of = [&](const char* name) {
    const nlohmann::json* value = field(body, name);
    return value == nullptr ? std::string() : value->get<std::string>();
  };
  const bool compares = field(body, "chosen") != nullptr || field(body, "rejected") != nullptr;
  const bool rates = field(body, "response") != nullptr || field(body, "rating") != nullptr;
  if (compares == rates) {
    throw RequestError(400, "missing_required_parameter",
                       "a lesson is \"chosen\" and \"rejected\", or \"response\" and \"rating\"", "chosen");
  }
  for (const char* name : {"chosen", "rejected"}) {
    if (!compares || !text_of(name).empty()) continue;
    throw RequestError(400, "invalid_value", fmt::format("\"{}\" is missing or empty", name), name);
  }
  if (compares) {
    teacher.prefer(prompt, text_of("chosen"), text_of("rejected"));
    return feedback_json(teacher);
  }
  const nlohmann::json* rating = field(body, "rating");
  if (rating == nullptr || text_of("response").empty()) {
    const char* const name = rating == nullptr ? "rating" : "response";
    throw RequestError(400, "invalid_value", fmt::format("\"{}\" is missing or empty", name), name);
  }
  teacher.rate(prompt, text_of("response"), *rating == 1 || *rating == "up");
  return feedback_json(teacher);
}

}  // namespace coala
