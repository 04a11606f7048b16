#include "serve/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace coala {
namespace {

const char* openai_name(Finish finish) {
  return finish == Finish::Stop ? "stop" : "length";
}

std::string token_text(const Tokenizer& tokenizer, Token token) {
  return tokenizer.is_control(token) ? tokenizer.control_text(token)
                                     : tokenizer.decode({&token, 1}, /*at_start=*/false);
}

/// Of what was drawn, the tokens of the reply: not the one that ends it, nor what a stop string took.
std::span<const DrawnToken> shown_tokens(const Reply& reply) {
  return std::span(reply.trace).first(std::min(reply.trace.size(), reply.tokens.size()));
}

bool send(httplib::DataSink& sink, const nlohmann::ordered_json& json) {
  const std::string line = "data: " + dumped(json) + "\n\n";
  return sink.write(line.data(), line.size());
}

bool finish(httplib::DataSink& sink) {
  constexpr std::string_view kLast = "data: [DONE]\n\n";
  const bool there = sink.write(kLast.data(), kLast.size());
  sink.done();
  return there;
}

}  // namespace

std::string dumped(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::ordered_json::error_handler_t::replace);
}

Completion::Completion(Asked&& asked, bool chat, std::uint64_t number, std::vector<std::string> warnings,
                       const Watch& watch, const Place& place)
    : asked_(std::move(asked)), chat_(chat), warnings_(std::move(warnings)), watch_(watch), place_(place) {
  id_ = fmt::format("{}-{}-{}", chat ? "chatcmpl" : "cmpl", created_, number);
  first_text_.resize(asked_.requests.size());
  unsent_.resize(asked_.requests.size());
  for (std::size_t i = 0; i < asked_.requests.size(); ++i) {
    Request request = std::move(asked_.requests[i]);
    const std::shared_ptr<Outcome> outcome = outcome_;
    // What the settings point to, for as long as the request lives.
    const std::pair kept(asked_.tilt, asked_.reward);
    if (request.settings.replies == 1) {
      request.settings.on_text = [outcome, i](std::string_view text) { outcome->put({i, std::string(text)}); };
    }
    if (asked_.with_logprobs && asked_.streams && request.settings.on_text) {
      request.settings.on_drawn = [outcome, i](std::span<const DrawnToken> tokens) {
        outcome->put({i, std::vector<DrawnToken>(tokens.begin(), tokens.end())});
      };
    }
    request.on_done = [outcome, kept, i](std::vector<Reply>&& replies) {
      outcome->put({i, std::move(replies[best_of(replies)])});
    };
    request.on_failure = [outcome, kept, i](const Error& error) { outcome->put({i, error}); };
    try {
      tickets_.push_back(place_.scheduler.submit(std::move(request)));
    } catch (...) {
      cancel();
      throw;
    }
  }
  open_ = tickets_.size();
  new_prompt_tokens_ = asked_.prompt_tokens;
}

Completion::~Completion() {
  cancel();
}

void Completion::cancel() {
  for (const Scheduler::Ticket ticket : tickets_) place_.scheduler.cancel(ticket);
  tickets_.clear();
}

/// The next event, if one comes soon; first texts are timed here.
std::optional<Outcome::Event> Completion::next() {
  std::optional<Outcome::Event> event = outcome_->next(Watch::kLook);
  if (event && std::holds_alternative<std::string>(event->what) && !first_text_[event->choice]) {
    first_text_[event->choice] = Watch::Clock::now();
    place_.metrics.first_token.add(std::chrono::duration<double>(*first_text_[event->choice] - watch_.began()).count());
  }
  return event;
}

nlohmann::ordered_json Completion::whole() {
  std::vector<Json> choices(open_);
  for (std::size_t left = open_; left > 0;) {
    const std::optional<Outcome::Event> event = next();
    watch_.check();
    if (!event || event->what.index() < 2) continue;  // what is shown on the way
    if (const Error* error = std::get_if<Error>(&event->what)) throw Error(*error);
    const Reply& reply = std::get<Reply>(event->what);
    count(event->choice, reply);
    Json& choice = choices[event->choice];
    choice["index"] = event->choice;
    if (chat_) {
      choice["message"] = {{"role", "assistant"}, {"content", reply.text}, {"refusal", nullptr}};
      if (!reply.reasoning.empty()) choice["message"]["reasoning_content"] = reply.reasoning;
    } else {
      choice["text"] = reply.text;
    }
    choice["logprobs"] = asked_.with_logprobs ? logprobs(shown_tokens(reply)) : Json();
    choice["finish_reason"] = openai_name(reply.finish);
    if (reply.score) choice["score"] = *reply.score;
    --left;
  }
  Json json = head(chat_ ? "chat.completion" : "text_completion");
  json["choices"] = choices;
  json["usage"] = usage();
  json.update(extension());
  return json;
}

bool Completion::write_some(httplib::DataSink& sink) {
  try {
    if (write_next(sink)) return true;
    place_.metrics.dropped();  // it does not read, or is not there to
    return false;
  } catch (const Error& error) {
    cancel();
    if (status_of(error) == Watch::kGone) place_.metrics.dropped();
    send(sink, error_json(error));
    return finish(sink);
  }
}

/// What has come meanwhile, if anything has. False when the client does not take it. @throws Error
bool Completion::write_next(httplib::DataSink& sink) {
  if (!begun_) {
    begun_ = true;
    for (std::size_t i = 0; chat_ && i < open_; ++i) {
      if (!send(sink, chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr))) return false;
    }
  }
  const std::optional<Outcome::Event> event = next();
  watch_.check();
  if (!event) return true;
  if (const Error* error = std::get_if<Error>(&event->what)) throw Error(*error);
  if (const auto* tokens = std::get_if<std::vector<DrawnToken>>(&event->what)) {
    std::vector<DrawnToken>& unsent = unsent_[event->choice];
    unsent.insert(unsent.end(), tokens->begin(), tokens->end());
    return true;
  }
  if (const std::string* text = std::get_if<std::string>(&event->what)) {
    return send(sink, chunk(event->choice, {{"content", *text}}, nullptr));
  }
  return send_last(sink, event->choice, std::get<Reply>(event->what));
}

bool Completion::send_last(httplib::DataSink& sink, std::size_t choice, const Reply& reply) {
  count(choice, reply);
  if (chat_ && !reply.reasoning.empty() &&
      !send(sink, chunk(choice, {{"reasoning_content", reply.reasoning}}, nullptr))) {
    return false;
  }
  const bool is_unseen = !reply.text.empty() && !first_text_[choice];  // the best of several
  if (is_unseen && asked_.with_logprobs) {
    const std::span<const DrawnToken> tokens = shown_tokens(reply);
    unsent_[choice].assign(tokens.begin(), tokens.end());
  }
  if (is_unseen && !send(sink, chunk(choice, {{"content", reply.text}}, nullptr))) return false;
  Json last = chunk(choice, Json::object(), openai_name(reply.finish));
  if (reply.score) last["choices"][0]["score"] = *reply.score;
  last.update(extension());
  if (!send(sink, last)) return false;
  if (--open_ > 0) return true;
  if (asked_.includes_usage) {
    Json json = head(chat_ ? "chat.completion.chunk" : "text_completion");
    json["choices"] = Json::array();
    json["usage"] = usage();
    if (!send(sink, json)) return false;
  }
  return finish(sink);
}

void Completion::count(std::size_t choice, const Reply& reply) {
  const std::size_t tokens = reply.tokens.size() + (reply.finish == Finish::Stop ? 1 : 0);
  written_ += tokens;
  place_.metrics.written(std::exchange(new_prompt_tokens_, 0), tokens);
  const std::optional<Watch::Clock::time_point>& first = first_text_[choice];
  if (first && tokens > 1) {
    place_.metrics.each_token.add(std::chrono::duration<double>(Watch::Clock::now() - *first).count() /
                                  static_cast<double>(tokens - 1));
  }
}

/// What OpenAI does not have: what a client needs to have the same reply again, and what was not looked at.
nlohmann::ordered_json Completion::extension() const {
  Json json{
      {"coala",
       {{"seed", static_cast<std::int64_t>(asked_.seed)}, {"guidance", asked_.guidance}, {"heads", asked_.heads}}}};
  if (!warnings_.empty()) json["warnings"] = warnings_;
  return json;
}

nlohmann::ordered_json Completion::head(const char* object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", asked_.model}};
}

nlohmann::ordered_json Completion::usage() const {
  return {{"prompt_tokens", asked_.prompt_tokens},
          {"completion_tokens", written_},
          {"total_tokens", asked_.prompt_tokens + written_}};
}

/// In the shape of completions: columns.
nlohmann::ordered_json Completion::logprobs(std::span<const DrawnToken> tokens) const {
  if (chat_) return chat_logprobs(tokens);
  Json json{{"tokens", Json::array()},
            {"token_logprobs", Json::array()},
            {"top_logprobs", Json::array()},
            {"unguided_logprobs", Json::array()}};
  for (const DrawnToken& drawn : tokens) {
    json["tokens"].push_back(token_text(place_.tokenizer, drawn.token));
    json["token_logprobs"].push_back(drawn.guided_log_probability);
    json["unguided_logprobs"].push_back(drawn.log_probability);
    Json top = Json::object();
    for (const TokenProbability& one : drawn.alternatives) {
      top[token_text(place_.tokenizer, one.token)] = one.log_probability;
    }
    json["top_logprobs"].push_back(std::move(top));
  }
  return json;
}

/// In the shape of chat completions: an object for each token. The model's own log-probability is our addition.
nlohmann::ordered_json Completion::chat_logprobs(std::span<const DrawnToken> tokens) const {
  const auto described = [this](Token token, double log_probability) {
    std::string bytes;
    place_.tokenizer.append_bytes(token, bytes);
    Json numbers = Json::array();
    for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
    return Json{
        {"token", token_text(place_.tokenizer, token)}, {"logprob", log_probability}, {"bytes", std::move(numbers)}};
  };
  Json content = Json::array();
  for (const DrawnToken& drawn : tokens) {
    Json one = described(drawn.token, drawn.guided_log_probability);
    one["unguided_logprob"] = drawn.log_probability;
    one["top_logprobs"] = Json::array();
    for (const TokenProbability& other : drawn.alternatives) {
      one["top_logprobs"].push_back(described(other.token, other.log_probability));
    }
    content.push_back(std::move(one));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

/// Takes the tokens whose text it brings along.
nlohmann::ordered_json Completion::chunk(std::size_t index, const Json& delta, const char* finish) {
  Json json = head(chat_ ? "chat.completion.chunk" : "text_completion");
  Json choice{{"index", index}};
  if (chat_) {
    choice["delta"] = delta;
  } else {
    choice["text"] = delta.value("content", "");
  }
  std::vector<DrawnToken>& tokens = unsent_[index];
  choice["logprobs"] = tokens.empty() ? Json() : logprobs(tokens);
  tokens.clear();
  choice["finish_reason"] = finish == nullptr ? Json() : Json(finish);
  json["choices"] = Json::array({choice});
  return json;
}

}  // namespace coala
