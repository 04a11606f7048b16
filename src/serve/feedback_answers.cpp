#include "serve/feedback_answers.h"

#include <fmt/format.h>

#include <string>

#include "serve/operations.h"
#include "serve/request_error.h"
#include "serve/request_parser.h"
#include "serve/served_model.h"

namespace coala {
namespace {

constexpr std::size_t kLongestReply_bytes = std::size_t{64} << 10;
/// More would take the connections of everybody else.
constexpr int kMostLessonsWaiting = 16;

}  // namespace

nlohmann::ordered_json feedback_json(const LessonReport& report) {
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
          {"truncated", report.last_was_cut},
          {"raised", report.raised},
          {"lowered", report.lowered},
          {"seconds", {{"evaluation", report.evaluation_s}, {"solution", report.solution_s}}}};
}

nlohmann::ordered_json take_feedback(Teacher& teacher, const nlohmann::json& body) {
  if (teacher.waiting() >= kMostLessonsWaiting) {
    throw RequestError(429, "queue_full", "other lessons are being learnt", "", "say it again later");
  }
  const auto text_of = [&](const char* name) {
    const nlohmann::json* value = field(body, name);
    const std::string text = value == nullptr ? std::string() : value->get<std::string>();
    if (text.empty() || text.size() > kLongestReply_bytes) {
      throw RequestError(400, "invalid_value",
                         text.empty() ? fmt::format("\"{}\" is missing or empty", name)
                                      : fmt::format("\"{}\" has {} bytes; a lesson's replies have up to {}", name,
                                                    text.size(), kLongestReply_bytes),
                         name);
    }
    return text;
  };
  const bool compares = field(body, "chosen") != nullptr || field(body, "rejected") != nullptr;
  const bool rates = field(body, "response") != nullptr || field(body, "rating") != nullptr;
  if (compares == rates) {
    throw RequestError(400, compares ? "invalid_value" : "missing_required_parameter",
                       "a lesson is either \"chosen\" and \"rejected\", or \"response\" and \"rating\"", "chosen");
  }
  const Prompt prompt{messages_of(body["messages"], "messages"), ""};
  if (compares) return feedback_json(teacher.prefer(prompt, text_of("chosen"), text_of("rejected")));
  const nlohmann::json* rating = field(body, "rating");
  if (rating == nullptr) throw RequestError(400, "missing_required_parameter", "\"rating\" is missing", "rating");
  return feedback_json(teacher.rate(prompt, text_of("response"), *rating == 1 || *rating == "up"));
}

}  // namespace coala
