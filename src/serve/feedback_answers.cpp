#include "serve/feedback_answers.h"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "core/disk_full.h"
#include "core/progress.h"
#include "data/writer.h"
#include "serve/operations.h"
#include "serve/request_error.h"
#include "serve/request_parser.h"
#include "serve/served_model.h"

namespace coala {
namespace {

constexpr std::size_t kLongestReply_bytes = std::size_t{64} << 10;
/// More would take the connections of everybody else.
constexpr int kMostLessonsWaiting = 16;

void check_queue(const Teacher& teacher) {
  if (teacher.waiting() < kMostLessonsWaiting) return;
  throw RequestError(429, "queue_full", "other lessons are being learnt", "", "say it again later");
}

/// A reply that the model is to look at. @throws RequestError
const std::string& checked(const std::string& text, const std::string& name) {
  if (!text.empty() && text.size() <= kLongestReply_bytes) return text;
  throw RequestError(400, "invalid_value",
                     text.empty() ? fmt::format("\"{}\" is missing or empty", name)
                                  : fmt::format("\"{}\" has {} bytes; a lesson's replies have up to {}", name,
                                                text.size(), kLongestReply_bytes),
                     name);
}

StillWanted while_there(const Watch& watch) {
  return [&watch] { watch.check(); };
}

/// What has been learnt once something has changed in the files of lessons.
template <class Change>
nlohmann::ordered_json report_after(Change change) {
  try {
    return feedback_json(change());
  } catch (const DiskFull& full) {
    log_warning(full.what());
    throw RequestError(507, "disk_full", "the server's disk has no room for it, and nothing has changed", "",
                       "free some space there, and say it again");
  }
}

}  // namespace

nlohmann::ordered_json feedback_json(const LessonReport& report) {
  nlohmann::ordered_json change;
  if (report.last_change) change = {{"before", report.last_change->before}, {"after", report.last_change->after}};
  return {{"object", "feedback"},
          {"head", ServedModel::kTaught},
          {"id", report.last_id.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(report.last_id)},
          {"pairs", report.pairs},
          {"ratings", report.ratings},
          {"accuracy",
           {{"value", report.accuracy},
            {"low", report.interval.low},
            {"high", report.interval.high},
            {"lessons", report.pairs + report.ratings}}},
          {"reliability", report.reliability},
          {"last_log_odds", report.last_log_odds},
          {"last_change", change},
          {"truncated", report.last_was_cut},
          {"raised", report.raised},
          {"lowered", report.lowered},
          {"seconds", {{"evaluation", report.evaluation_s}, {"solution", report.solution_s}}}};
}

nlohmann::ordered_json take_feedback(Teacher& teacher, const nlohmann::json& body, const Watch& watch) {
  check_queue(teacher);
  const auto text_of = [&](const char* name) {
    const nlohmann::json* value = field(body, name);
    return checked(value == nullptr ? std::string() : value->get<std::string>(), name);
  };
  const bool compares = field(body, "chosen") != nullptr || field(body, "rejected") != nullptr;
  const bool rates = field(body, "response") != nullptr || field(body, "rating") != nullptr;
  if (compares == rates) {
    throw RequestError(400, compares ? "invalid_value" : "missing_required_parameter",
                       "a lesson is either \"chosen\" and \"rejected\", or \"response\" and \"rating\"", "chosen");
  }
  const Prompt prompt{messages_of(body["messages"], "messages"), ""};
  if (compares) {
    return report_after(
        [&] { return teacher.prefer(prompt, text_of("chosen"), text_of("rejected"), while_there(watch)); });
  }
  const nlohmann::json* rating = field(body, "rating");
  if (rating == nullptr) throw RequestError(400, "missing_required_parameter", "\"rating\" is missing", "rating");
  const bool liked = *rating == 1 || *rating == "up";
  return report_after([&] { return teacher.rate(prompt, text_of("response"), liked, while_there(watch)); });
}

nlohmann::ordered_json take_back(Teacher& teacher, const std::string& id, const Watch& watch) {
  check_queue(teacher);
  try {
    return report_after([&] { return teacher.undo(id, while_there(watch)); });
  } catch (const Error& error) {
    if (error.code() == ErrorCode::Mismatch) throw RequestError(409, "not_the_last", error.what(), "id", error.hint());
    const auto* answered = dynamic_cast<const RequestError*>(&error);  // by the watch
    if (answered != nullptr || error.code() != ErrorCode::BadInput) throw;
    throw RequestError(409, "not_there", error.what(), "id", error.hint());
  }
}

nlohmann::ordered_json next_json(Teacher& teacher, const nlohmann::json& body, const Watch& watch) {
  check_queue(teacher);
  std::vector<Choices> choices;
  for (const nlohmann::json& one : body["candidates"]) {
    const std::string where = fmt::format("candidates[{}]", choices.size());
    Choices asked{{messages_of(one["messages"], where + ".messages"), ""}, {}};
    for (const nlohmann::json& reply : one["replies"]) {
      asked.replies.push_back(
          checked(reply.get<std::string>(), fmt::format("{}.replies[{}]", where, asked.replies.size())));
    }
    choices.push_back(std::move(asked));
  }
  const NextPair pair = teacher.next_pair(choices, while_there(watch));
  return {{"object", "feedback.next"},
          {"candidate", pair.choices},
          {"replies", {pair.first, pair.second}},
          {"information_bits", pair.information_bits},
          {"log_odds", {{"mean", pair.outlook.mean}, {"deviation", std::sqrt(pair.outlook.variance)}}},
          {"considered", pair.considered}};
}

nlohmann::ordered_json influence_json(Teacher& teacher, const nlohmann::json& body, const Watch& watch) {
  constexpr std::size_t kShown = 5;
  check_queue(teacher);
  const Prompt prompt{messages_of(body["messages"], "messages"), ""};
  const std::string response = checked(body["response"].get<std::string>(), "response");
  std::string than;
  if (const nlohmann::json* other = field(body, "than")) than = checked(other->get<std::string>(), "than");
  const nlohmann::json* count = field(body, "count");
  const ReplyInfluences found =
      teacher.influences(prompt, response, than.empty() ? nullptr : &than,
                         count != nullptr ? count->get<std::size_t>() : kShown, while_there(watch));
  const auto rows_of = [](const std::vector<LessonPart>& parts) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const LessonPart& part : parts) {
      rows.push_back(nlohmann::ordered_json::parse(to_json_line(part.record)));
      rows.back()["influence"] = part.influence;
    }
    return rows;
  };
  return {{"object", "feedback.influence"}, {"log_odds", found.log_odds},    {"lessons", found.lessons},
          {"truncated", found.were_cut},    {"raise", rows_of(found.raise)}, {"lower", rows_of(found.lower)}};
}

}  // namespace coala
