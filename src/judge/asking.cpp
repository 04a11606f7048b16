#include "judge/asking.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/utf8.h"

namespace coala {

using Json = nlohmann::ordered_json;

namespace {

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

void read_answer(JudgeTask task, Json& line) {
  // What was cut has not come to its verdict: what it quotes on the way is none.
  const bool is_cut = line.value("finish", Json()) == "length";
  const std::string answer = is_cut ? "" : line.at("answer").get<std::string>();
  if (task == JudgeTask::Pairs) {
    const std::optional<std::string> verdict = verdict_in(answer);
    line["verdict"] = verdict ? Json(*verdict) : Json();
  } else {
    const std::optional<double> mark = mark_in(answer);
    line["mark"] = mark ? Json(*mark) : Json();
  }
}

Asking::Asking(const std::vector<ReplyPair>& pairs, AskingSettings settings, TranscriptFile& transcript)
    : pairs_(pairs),
      settings_(std::move(settings)),
      transcript_(transcript),
      all_(questions_about(pairs, settings_.task)) {
  constexpr double kBytesPerToken = 4;
  std::set<std::string> asked;
  plan_.games = all_.size();
  for (const JudgeQuestion& question : all_) {
    const Json request = request_of(question);
    const std::string key = key_of(request);
    if (transcript_.game(game_of(question, key)) != nullptr) continue;
    plan_.questions.push_back(question);
    if (transcript_.answer(key) != nullptr || !asked.insert(key).second) continue;
    ++plan_.requests;
    plan_.prompt_tokens += static_cast<double>(text_of(question.messages).size()) / kBytesPerToken;
    plan_.most_answer_tokens += settings_.most_answer_tokens;
  }
}

Json Asking::request_of(const JudgeQuestion& question) const {
  return {{"model", settings_.model},
          {"messages", question.messages},
          {"temperature", 0},
          {"seed", 0},
          {"max_tokens", settings_.most_answer_tokens}};
}

std::string Asking::key_of(const Json& request) const {
  return hash_text(text_of(request));
}

std::string Asking::game_of(const JudgeQuestion& question, const std::string& key) const {
  Hasher hasher;
  hasher.add(key).add(settings_.sources[0]).add(settings_.sources[1]).add(pairs_[question.pair].pair);
  return hasher.add(static_cast<std::int64_t>(question.place)).hex();
}

Json Asking::line_of(const JudgeQuestion& question, const Json& request) const {
  const ReplyPair& pair = pairs_[question.pair];
  const std::string key = key_of(request);
  return {{"coala_judgment", 1},
          {"game", game_of(question, key)},
          {"key", key},
          {"judge", settings_.model},
          {"sources", settings_.sources},
          {"id", pair.id},
          {"pair", pair.pair},
          {"prompt", hash_text(pair.prompt)},
          {"lengths", {count_characters(pair.replies[0]), count_characters(pair.replies[1])}},
          {settings_.task == JudgeTask::Pairs ? "place" : "source", question.place},
          {"request", request}};
}

bool Asking::ask(Endpoint& endpoint) {
  Progress progress("asking " + settings_.model, plan_.games, "answers", plan_.games - plan_.questions.size());
  // Questions that are the same stand behind each other's first: one thread asks, and answers all of them.
  std::vector<std::vector<const JudgeQuestion*>> groups;
  std::map<std::string, std::size_t> group_of;
  for (const JudgeQuestion& question : plan_.questions) {
    const auto [group, is_new] = group_of.emplace(key_of(request_of(question)), groups.size());
    if (is_new) groups.emplace_back();
    groups[group->second].push_back(&question);
  }
  std::atomic<std::size_t> next{0};
  std::atomic<bool> over{false};
  std::mutex mutex;
  std::exception_ptr failure;
  bool spent = false;
  const auto work = [&] {
    try {
      for (std::size_t i = 0; !over && (i = next++) < groups.size();) {
        const Json request = request_of(*groups[i].front());
        std::optional<Completion> completion;
        for (const JudgeQuestion* question : groups[i]) {
          Json line = line_of(*question, request);
          const Json* const known = transcript_.answer(line.at("key").get<std::string>());
          if (known != nullptr) {
            line["answer"] = known->at("answer");
            if (known->contains("finish")) line["finish"] = known->at("finish");
            line["same_as"] = known->at("game");
          } else {
            completion = endpoint.complete(request);
            line["answer"] = completion->text;
            if (completion->is_cut) line["finish"] = "length";
            line["tries"] = completion->tries;
            line["usage"] = completion->usage;
          }
          read_answer(settings_.task, line);
          transcript_.add(line);
          progress.advance(1);
        }
      }
    } catch (const BudgetSpent&) {
      over = true;
      const std::lock_guard lock(mutex);
      spent = true;
    } catch (...) {
      over = true;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  const auto parallel = std::min(static_cast<std::size_t>(settings_.parallel), groups.size());
  for (std::size_t k = 0; k < parallel; ++k) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  return !spent;
}

std::vector<Json> Asking::lines() const {
  std::vector<Json> lines;
  for (const JudgeQuestion& question : all_) {
    const Json* const line = transcript_.game(game_of(question, key_of(request_of(question))));
    if (line != nullptr) lines.push_back(*line);
  }
  return lines;
}

}  // namespace coala
