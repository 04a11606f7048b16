#include "judge/endpoint.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/resources.h"
#include "core/shortened.h"
#include "core/utf8.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

bool may_pass(int status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

void sleep_for(double seconds) {
  const double end = monotonic_s() + seconds;
  while (monotonic_s() < end) {
    throw_if_interrupted();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

/// Seconds that the server asks for; 0 when it asks for none, or by a date.
double retry_after(const httplib::Response& response) {
  const std::string value = response.get_header_value("Retry-After");
  char* end = nullptr;
  const double seconds = std::strtod(value.c_str(), &end);
  return !value.empty() && *end == '\0' && std::isfinite(seconds) ? std::max(0.0, seconds) : 0;
}

/// What the body of an error says: OpenAI's {"error": {"message"}}, or as it is, without what is too long to keep.
std::string message_of(const std::string& body) {
  constexpr std::size_t kMost = 2000;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  const Json error = json.is_object() ? json.value("error", Json()) : Json();
  const Json message = error.is_object() ? error.value("message", Json()) : error;
  return shortened(message.is_string() ? message.get<std::string>() : body, kMost);
}

}  // namespace

Endpoint::Endpoint(EndpointSettings settings) : settings_(std::move(settings)) {
  const std::string& url = settings_.url;
  const std::size_t scheme = url.find("://");
  const bool known = url.starts_with("http://") || url.starts_with("https://");
  if (!known || url.size() == scheme + 3 || url.find_first_of(" \t\r\n@?#") != std::string::npos) {
    throw Error(
        ErrorCode::BadUsage, fmt::format("{} is no address of a server", quoted_text(url)),
        "give it up to and with /v1, for instance http://127.0.0.1:8080/v1; a key belongs into COALA_JUDGE_KEY");
  }
  const std::size_t slash = url.find('/', scheme + 3);
  host_ = url.substr(0, slash);
  path_ = slash == std::string::npos ? "" : url.substr(slash);
  while (path_.ends_with('/')) path_.pop_back();
  path_ += "/chat/completions";
  const char* const key = std::getenv("COALA_JUDGE_KEY");
  if (key != nullptr) key_ = key;
  if (!std::ranges::all_of(key_, [](char c) { return c > ' ' && c < 127; })) {
    throw Error(ErrorCode::BadUsage, "COALA_JUDGE_KEY holds what no key has: spaces, control characters or other bytes",
                "set it again; a line break at its end is easily copied along");
  }
}

Endpoint::~Endpoint() = default;

std::string Endpoint::without_key(std::string text) const {
  constexpr std::size_t kShortest = 8;  // a local server's dummy key, such as "1", is no secret, and verdicts hold it
  constexpr std::string_view kInstead = "[key]";
  if (key_.size() < kShortest) return text;
  std::string escaped;  // as some servers write it inside of JSON
  for (const char c : key_) escaped += c == '/' ? std::string("\\/") : std::string(1, c);
  for (const std::string& key : {key_, escaped}) {
    for (std::size_t at = 0; (at = text.find(key, at)) != std::string::npos; at += kInstead.size()) {
      text.replace(at, key.size(), kInstead);
    }
  }
  return text;
}

void Endpoint::take_call() {
  const std::uint64_t before = calls_.fetch_add(1);
  if (settings_.most_calls == 0 || before < settings_.most_calls) return;
  calls_.fetch_sub(1);
  throw BudgetSpent();
}

Error Endpoint::error_of(const Refusal& refusal) const {
  return Error(ErrorCode::BadInput,
               fmt::format("{} answers {}: {}", host_, refusal.status, quoted_text(refusal.message, 200)),
               "check --endpoint, --judge-model and the key in COALA_JUDGE_KEY; what is answered is kept");
}

EndpointAnswer Endpoint::complete(const Json& request) {
  constexpr double kLongestWait_s = 60;
  const std::string body = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  httplib::Client client(host_);
  const auto seconds = std::chrono::milliseconds(static_cast<std::int64_t>(1000 * settings_.timeout_s));
  client.set_connection_timeout(seconds);
  client.set_read_timeout(seconds);
  client.set_write_timeout(seconds);
  httplib::Headers headers;
  if (!key_.empty()) headers.emplace("Authorization", "Bearer " + key_);
  std::string trouble;
  for (int attempt = 0; attempt <= settings_.retries; ++attempt) {
    throw_if_interrupted();
    take_call();
    double wait = std::min(kLongestWait_s, settings_.wait_s * std::ldexp(1.0, std::min(attempt, 30)));
    const httplib::Result result = client.Post(path_, headers, body, "application/json");
    if (!result) {
      trouble = fmt::format("cannot reach {}: {}", host_, httplib::to_string(result.error()));
    } else if (result->status == 200) {
      const Json answer = Json::parse(result->body, nullptr, /*allow_exceptions=*/false);
      const Json choices = answer.is_object() ? answer.value("choices", Json()) : Json();
      const bool whole = choices.is_array() && !choices.empty() && choices[0].is_object() &&
                         choices[0].contains("message") && choices[0]["message"].is_object();
      if (whole) {
        const Json content = choices[0]["message"].value("content", Json());
        // A refusal may come without content.
        const std::string text = content.is_string() ? content.get<std::string>() : std::string();
        const std::string usage = answer.value("usage", Json()).dump(-1, ' ', false, Json::error_handler_t::replace);
        const Json logprobs = choices[0].value("logprobs", Json());
        return {without_key(text),
                Json::parse(without_key(usage)),
                attempt + 1,
                choices[0].value("finish_reason", Json()) == "length",
                logprobs.is_object() ? logprobs.value("content", Json()) : Json(),
                {}};
      }
      trouble = fmt::format("{} gave no completion: {}", host_, quoted_text(without_key(result->body), 200));
    } else {
      trouble = fmt::format("{} answers {}: {}", host_, result->status, quoted_text(without_key(result->body), 200));
      if (!may_pass(result->status)) {
        EndpointAnswer refused;
        refused.tries = attempt + 1;
        refused.refusal = {result->status, without_key(message_of(result->body))};
        return refused;
      }
      wait = std::max(wait, std::min(kLongestWait_s, retry_after(*result)));
    }
    if (attempt < settings_.retries) sleep_for(wait);
  }
  throw Error(ErrorCode::Io, fmt::format("{}; tried {} times", trouble, settings_.retries + 1),
              "run the same command again later: what is answered is kept");
}

}  // namespace coala
