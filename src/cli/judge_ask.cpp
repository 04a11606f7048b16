#include "cli/judge_ask.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <set>

#include "cli/check_options.h"
#include "cli/judge_tables.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "data/record.h"
#include "judge/asking.h"
#include "judge/endpoint.h"
#include "judge/judge.h"
#include "judge/questions.h"
#include "judge/transcript_file.h"
#include "tally/transcript.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

void check(const AskOptions& options) {
  const auto refuse = [](const char* what, const char* hint) { throw Error(ErrorCode::BadUsage, what, hint); };
  if (options.replies.empty() || options.against.empty()) {
    refuse("two files of replies are compared", "name both: --replies FILE --against FILE");
  }
  if (options.transcript.empty()) {
    refuse("what is asked and answered is kept in a file", "name it with --transcript; the same one goes on with it");
  }
  if (options.endpoint.empty() && options.command.empty()) {
    refuse("there is no judge", "name a server (--endpoint URL --judge-model NAME) or a program (--judge-command)");
  }
  if (options.endpoint.empty() != options.models.empty()) {
    refuse("--endpoint and --judge-model belong together", "name the server and the model of it that judges");
  }
}

/// A line of a transcript as an annotation.
Annotation annotation_of(const Json& line, const std::string& place) {
  return {nlohmann::json::parse(line.dump(-1, ' ', false, Json::error_handler_t::replace)), place};
}

/// What names a reply of a pair in a transcript.
Json reply_line_of(const ReplyPair& pair, const std::array<std::string, 2>& sources, const std::string& judge,
                   std::size_t source) {
  const std::string key = Hasher().add(judge).add(pair.prompt).add(pair.replies[source]).hex();
  const std::string game =
      Hasher().add(key).add(sources[0]).add(sources[1]).add(pair.pair).add(static_cast<std::int64_t>(source)).hex();
  return {{"coala_judgment", 1},
          {"game", game},
          {"key", key},
          {"judge", judge},
          {"sources", sources},
          {"id", pair.id},
          {"pair", pair.pair},
          {"prompt", hash_text(pair.prompt)},
          {"lengths", {count_characters(pair.replies[0]), count_characters(pair.replies[1])}},
          {"source", source}};
}

/// Scores by a program, of replies that the transcript does not know.
std::vector<Json> ask_program(const AskOptions& options, const std::vector<ReplyPair>& pairs,
                              const std::array<std::string, 2>& sources, TranscriptFile& transcript) {
  CommandJudge judge(options.command, options.command_seconds);
  std::vector<Json> lines;
  for (const ReplyPair& pair : pairs) {
    for (std::size_t source = 0; source < 2; ++source) {
      lines.push_back(reply_line_of(pair, sources, judge.name(), source));
    }
  }
  std::map<std::string, std::size_t> unknown;  // keys, and which reply to judge has them
  std::vector<Prompt> prompts;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const std::string key = lines[i].at("key").get<std::string>();
    if (transcript.answer(key) != nullptr || !unknown.emplace(key, places.size()).second) continue;
    places.push_back(i);
    prompts.push_back({{}, pairs[i / 2].prompt});
  }
  std::vector<ReplyToJudge> replies;
  for (std::size_t k = 0; k < places.size(); ++k) {
    const ReplyPair& pair = pairs[places[k] / 2];
    replies.push_back({pair.id, &prompts[k], pair.replies[places[k] % 2]});
  }
  log_line(fmt::format("asking {} about {} replies, {} of them known", judge.name(), lines.size(),
                       lines.size() - replies.size()));
  const std::vector<double> scores = replies.empty() ? std::vector<double>() : judge.scores(replies);
  for (Json& line : lines) {
    const std::string key = line.at("key").get<std::string>();
    const Json* const played = transcript.game(line.at("game").get<std::string>());
    if (played != nullptr) {
      line = *played;
      continue;
    }
    const Json* const known = transcript.answer(key);
    line["mark"] = known != nullptr ? known->at("mark") : Json(scores[unknown.at(key)]);
    transcript.add(line);
  }
  return lines;
}

/// People's verdicts, as one more judge: lines {"id", "better"}, better being "replies", "against" or "tie".
void add_labels(const std::string& file, const std::vector<ReplyPair>& pairs, const std::array<std::string, 2>& sources,
                std::vector<Annotation>& lines) {
  std::map<std::string, const ReplyPair*> by_id;
  for (const ReplyPair& pair : pairs) by_id.emplace(pair.id, &pair);
  std::set<std::string> seen;
  for (const Annotation& label : read_annotations({file})) {
    const std::string id = id_of(label, "id");
    const std::string better = text_of(label, "better");
    const auto pair = by_id.find(id);
    if (pair == by_id.end()) fail_at(label, fmt::format("there is no reply with the id {}", id));
    if (!seen.insert(id).second) fail_at(label, fmt::format("the id {} has a label already", id));
    if (better != "replies" && better != "against" && better != "tie") {
      fail_at(label, fmt::format("\"better\" is '{}', expected is replies, against or tie", better));
    }
    for (std::size_t source = 0; source < 2; ++source) {
      Json line = reply_line_of(*pair->second, sources, "people", source);
      line["mark"] = better == "tie" ? 0 : (better == "replies") == (source == 0) ? 1 : -1;
      lines.push_back(annotation_of(line, label.place));
    }
  }
}

}  // namespace

void add_ask_options(CLI::App& command, AskOptions& options) {
  command.add_option("--replies", options.replies, "replies that are asked about, as `coala generate` writes them")
      ->type_name(kInput);
  command.add_option("--against", options.against, "replies to the same prompts that they are compared with")
      ->type_name(kInput);
  command
      .add_option("--transcript", options.transcript,
                  "file for questions and answers, a JSON line each, that is only added to; what is in it is not asked "
                  "again")
      ->type_name(kOutput);
  command.add_option("--endpoint", options.endpoint,
                     "OpenAI-compatible server up to and with /v1; its key is read from COALA_JUDGE_KEY");
  command.add_option("--judge-model", options.models, "model of the server that judges; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--task", options.task,
                  "what is asked: which of two replies is better, in both orders, or a mark from 1 to 10 for each")
      ->check(CLI::IsMember({"pairs", "marks"}))
      ->capture_default_str();
  command.add_option("--judge-command", options.command,
                     "a program that reads {\"id\", \"prompt\", \"response\"} a line and writes {\"score\"} a line");
  command.add_option("--judge-seconds", options.command_seconds, "with --judge-command: that it may take a reply")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--labels", options.labels,
                  "what people said: {\"id\", \"better\"} a line, better being replies, against or tie")
      ->type_name(kInput);
  command.add_option("--parallel", options.parallel, "requests at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--retries", options.retries, "of a request that the server could not answer for now")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command.add_option("--wait", options.wait_s, "seconds before the first retry, doubled each time")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--timeout", options.timeout_s, "seconds for one answer")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  command.add_option("--most-answer-tokens", options.most_answer_tokens, "longest answer of a judge")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--most-calls", options.most_calls,
                  "requests that this run may make, retries included; 0: as many as it takes")
      ->capture_default_str();
  command.add_flag("--estimate", options.estimate, "say how many requests and tokens it would take, and ask nothing");
}

Json ask_judges(const AskOptions& options, std::uint64_t seed) {
  check(options);
  const std::vector<ReplyPair> pairs = read_reply_pairs(options.replies, options.against);
  const std::array<std::string, 2> sources{std::filesystem::path(options.replies).filename().string(),
                                           std::filesystem::path(options.against).filename().string()};
  TranscriptFile transcript(options.transcript);
  EndpointSettings server{options.endpoint, options.retries, options.wait_s, options.timeout_s, options.most_calls};
  std::optional<Endpoint> endpoint;
  if (!options.endpoint.empty()) endpoint.emplace(server);
  Json result{{"format", "coala"}, {"pairs", pairs.size()}, {"estimate", Json::array()}};
  std::vector<Annotation> lines;
  bool complete = true;
  for (const std::string& model : options.models) {
    const AskingSettings settings{sources, options.task == "pairs" ? JudgeTask::Pairs : JudgeTask::Marks, model,
                                  options.most_answer_tokens, options.parallel};
    Asking asking(pairs, settings, transcript);
    const AskingPlan& plan = asking.plan();
    log_line(fmt::format("{}: {} questions about {} pairs, {} to be asked: about {:.0f} tokens in, {:.0f} out at most",
                         model, plan.games, pairs.size(), plan.requests, plan.prompt_tokens, plan.most_answer_tokens));
    result["estimate"].push_back({{"judge", model},
                                  {"questions", plan.games},
                                  {"requests", plan.requests},
                                  {"prompt_tokens", plan.prompt_tokens},
                                  {"most_answer_tokens", plan.most_answer_tokens}});
    if (options.estimate) continue;
    complete = asking.ask(*endpoint) && complete;
    for (const Json& line : asking.lines()) lines.push_back(annotation_of(line, options.transcript));
  }
  result["comparisons"] = Json::array();
  if (options.estimate) return result;
  if (!options.command.empty()) {
    for (const Json& line : ask_program(options, pairs, sources, transcript)) {
      lines.push_back(annotation_of(line, options.transcript));
    }
  }
  if (!options.labels.empty()) add_labels(options.labels, pairs, sources, lines);
  result["calls"] = endpoint ? endpoint->calls() : 0;
  result["complete"] = complete;
  if (!complete) {
    log_warning(
        fmt::format("{} calls are made, which is all that --most-calls allows: the table is of what is "
                    "answered, and the same command goes on",
                    endpoint->calls()));
  }
  if (!lines.empty()) result["comparisons"] = comparison_tables(read_comparisons(lines), seed);
  return result;
}

}  // namespace coala
