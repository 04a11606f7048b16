#include "judge/asking.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
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
  return coala::game_of(settings_.sources, pairs_[question.pair], key, question.place);
}

std::vector<Asking::Group> Asking::groups() const {
  std::vector<Group> groups;
  std::map<std::string, std::size_t> group_of;
  for (const JudgeQuestion& question : plan_.questions) {
    const auto [group, is_new] = group_of.emplace(key_of(request_of(question)), groups.size());
    if (is_new) groups.emplace_back();
    groups[group->second].push_back(&question);
  }
  // A server that refuses the shortest one refuses all.
  const auto bytes = [](const Group& group) { return text_of(group.front()->messages).size(); };
  const auto shortest = std::ranges::min_element(groups, {}, bytes);
  if (shortest != groups.end()) std::rotate(groups.begin(), shortest, shortest + 1);
  return groups;
}

namespace {

/// May the server mind the parameter, rather than the question or who asks?
bool may_mind_probabilities(const Refusal& refusal) {
  return refusal.status == 400 || refusal.status == 422 ||
         lower_case(refusal.message).find("logprob") != std::string::npos;
}

/// Is it the fault of one question, for instance of its length?
bool is_of_the_question(const Refusal& refusal) {
  return refusal.status == 400 || refusal.status == 413 || refusal.status == 422;
}

}  // namespace

/// Asks with the probabilities of the verdict's tokens, and without where the server does not give them.
/// @param request  becomes the one that was answered
EndpointAnswer Asking::complete(Endpoint& endpoint, Json& request) {
  constexpr int kAlternatives = 5;  // as AlpacaEval 2's annotators ask for; more are refused by some servers
  if (settings_.task != JudgeTask::Pairs || probabilities_ == Probabilities::Refused) return endpoint.complete(request);
  Json with = request;
  with["logprobs"] = true;
  with["top_logprobs"] = kAlternatives;
  EndpointAnswer asked = endpoint.complete(with);
  if (!asked.refusal) {
    probabilities_ = Probabilities::Given;
    request = std::move(with);
    return asked;
  }
  if (probabilities_ == Probabilities::Given || !may_mind_probabilities(*asked.refusal)) return asked;
  EndpointAnswer again = endpoint.complete(request);
  if (!again.refusal && probabilities_.exchange(Probabilities::Refused) == Probabilities::Untried) {
    log_line(fmt::format("{}: the server gives no probabilities of tokens ({}: {}); it is asked without",
                         settings_.model, asked.refusal->status, quoted_text(asked.refusal->message)));
  }
  return again;
}

/// The part of a line that is the answer.
Json Asking::answer_of(Endpoint& endpoint, Json request) {
  const EndpointAnswer completion = complete(endpoint, request);
  if (completion.refusal && !is_of_the_question(*completion.refusal)) throw endpoint.error_of(*completion.refusal);
  Json answer{{"request", std::move(request)}, {"answer", completion.text}};
  if (completion.is_cut) answer["finish"] = "length";
  if (completion.refusal) {
    answer["refused"] = {{"status", completion.refusal->status}, {"message", completion.refusal->message}};
  }
  read_answer(settings_.task, answer);
  if (settings_.task == JudgeTask::Pairs && !answer["verdict"].is_null()) {
    if (const auto verdicts = verdict_probabilities(completion.logprobs)) {
      answer["probabilities"] = {{"first", verdicts->first}, {"second", verdicts->second}, {"tie", verdicts->tie}};
    }
  }
  answer["tries"] = completion.tries;
  answer["usage"] = completion.usage;
  return answer;
}

std::vector<Json> Asking::lines_of(Endpoint& endpoint, const Group& group) {
  const Json request = request_of(*group.front());
  const std::string key = key_of(request);
  Json answer;
  std::string same_as;
  if (const Json* const known = transcript_.answer(key)) {
    same_as = known->at("game").get<std::string>();
    for (const char* part : {"request", "answer", "finish", "refused", "probabilities"}) {
      if (known->contains(part)) answer[part] = known->at(part);
    }
    read_answer(settings_.task, answer);
  } else {
    answer = answer_of(endpoint, request);
  }
  std::vector<Json> lines;
  for (const JudgeQuestion* question : group) {
    Json line =
        game_line(settings_.sources, pairs_[question->pair], settings_.model, key, settings_.task, question->place);
    for (const auto& [part, value] : answer.items()) {
      if (same_as.empty() || (part != "tries" && part != "usage")) line[part] = value;
    }
    if (!same_as.empty()) line["same_as"] = same_as;
    if (same_as.empty()) same_as = line.at("game").get<std::string>();
    lines.push_back(std::move(line));
  }
  return lines;
}

namespace {

/// Takes the lines of questions to the transcript. Refusals wait until the judge has answered something: one that
/// refuses everything has a fault that is no question's, and nothing would be asked again when it is mended.
class Keeping {
 public:
  Keeping(TranscriptFile& transcript, const std::string& judge)
      : transcript_(transcript), answers_(transcript.has_answer_of(judge)) {}

  /// @throws Error{BadInput} when the first questions are refused alike
  void keep(std::vector<Json>&& lines, const Endpoint& endpoint) {
    constexpr std::size_t kAlike = 8;
    const std::lock_guard lock(mutex_);
    const auto refused = lines.front().find("refused");
    if (refused != lines.front().end()) {
      const Refusal refusal{refused->at("status").get<int>(), refused->at("message").get<std::string>()};
      answers_ = answers_ || (first_ && first_->status != refusal.status);
      if (!first_) first_ = refusal;
      ++refused_;
    } else {
      answers_ = true;
    }
    std::ranges::move(lines, std::back_inserter(waiting_));
    if (!answers_ && refused_ >= kAlike) throw endpoint.error_of(*first_);
    if (!answers_) return;
    for (const Json& line : waiting_) transcript_.add(line);
    waiting_.clear();
  }

  /// @throws Error{BadInput} when there was no answer but refusals
  void finish(const Endpoint& endpoint, const std::string& judge) const {
    if (refused_ == 0) return;
    if (!answers_) throw endpoint.error_of(*first_);
    log_warning(
        fmt::format("{}: the server refused {} questions, the first with {}: {}; they are kept as answers without "
                    "a verdict",
                    judge, refused_, first_->status, quoted_text(first_->message, 200)));
  }

 private:
  TranscriptFile& transcript_;
  std::mutex mutex_;
  bool answers_;  ///< not all is refused alike
  std::vector<Json> waiting_;
  std::optional<Refusal> first_;
  std::size_t refused_ = 0;
};

}  // namespace

bool Asking::ask(Endpoint& endpoint) {
  Progress progress("asking " + settings_.model, plan_.games, "answers", plan_.games - plan_.questions.size());
  const std::vector<Group> groups = this->groups();
  Keeping keeping(transcript_, settings_.model);
  std::atomic<std::size_t> next{0};
  std::atomic<bool> over{false};
  std::mutex mutex;
  std::exception_ptr failure;
  bool spent = false;
  const auto work = [&] {
    try {
      for (std::size_t i = 0; !over && (i = next++) < groups.size();) {
        keeping.keep(lines_of(endpoint, groups[i]), endpoint);
        progress.advance(groups[i].size());
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
  keeping.finish(endpoint, settings_.model);
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
