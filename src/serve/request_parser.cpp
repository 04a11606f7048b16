#include "serve/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"
#include "data/nesting_scanner.h"

namespace coala {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMostChoices = 8;
constexpr std::size_t kMostStops = 16;
constexpr std::size_t kMostBiases = 1024;

[[noreturn]] void refuse(const std::string& field, const Json& value, const std::string& expected) {
  std::string found = value.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  constexpr std::size_t kLongest = 80;
  if (found.size() > kLongest) found = found.substr(0, kLongest) + "...";
  throw Error(ErrorCode::BadInput, fmt::format("\"{}\" is {}; expected {}", field, found, expected));
}

/// A field that is there and not null.
const Json* field(const Json& body, const char* name) {
  const auto found = body.find(name);
  return found == body.end() || found->is_null() ? nullptr : &*found;
}

double number(const Json& body, const char* name, double standard, double least, double most) {
  const Json* value = field(body, name);
  if (value == nullptr) return standard;
  const std::string range = fmt::format("a number from {} to {}", least, most);
  if (!value->is_number()) refuse(name, *value, range);
  const double number = value->get<double>();
  if (!(number >= least && number <= most)) refuse(name, *value, range);
  return number;
}

std::int64_t whole(const Json& body, const char* name, std::int64_t standard, std::int64_t least, std::int64_t most) {
  const Json* value = field(body, name);
  if (value == nullptr) return standard;
  const std::string range = fmt::format("a whole number from {} to {}", least, most);
  if (value->is_number_float()) {  // 100.0 is a whole number too
    const double real = value->get<double>();
    if (!(std::abs(real) <= 0x1p53) || real != std::trunc(real) || real < static_cast<double>(least) ||
        real > static_cast<double>(most)) {
      refuse(name, *value, range);
    }
    return static_cast<std::int64_t>(real);
  }
  if (!value->is_number_integer()) refuse(name, *value, range);
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > static_cast<std::uint64_t>(most)) {
    refuse(name, *value, range);
  }
  const auto number = value->get<std::int64_t>();
  if (number < least || number > most) refuse(name, *value, range);
  return number;
}

bool flag(const Json& body, const char* name, bool standard) {
  const Json* value = field(body, name);
  if (value == nullptr) return standard;
  if (!value->is_boolean()) refuse(name, *value, "true or false");
  return value->get<bool>();
}

std::string text(const Json& value, const std::string& name) {
  if (!value.is_string()) refuse(name, value, "a text");
  return value.get<std::string>();
}

Json parsed(const std::string& body) {
  if (find_invalid_utf8(body) != std::string::npos) throw Error(ErrorCode::BadInput, "the request is not UTF-8");
  // What copies, prints or destroys a value calls itself for each level of it.
  if (NestingScanner().scan(body).state == NestingScanner::State::TooDeep) {
    throw Error(ErrorCode::BadInput, "the request is nested too deeply");
  }
  Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw Error(ErrorCode::BadInput, "the request is no JSON object");
  // What would change the answer, and is not there.
  constexpr std::array kMissing{"tools",        "tool_choice", "functions",  "function_call",  "audio",
                                "prediction",   "suffix",      "grammar",    "json_schema",    "guided_json",
                                "guided_regex", "min_tokens",  "ignore_eos", "stop_token_ids", "repetition_penalty"};
  for (const char* name : kMissing) {
    const Json* value = field(json, name);
    if (value == nullptr || *value == "none" || *value == "auto" || *value == "" || *value == false || *value == 0 ||
        (value->is_array() && value->empty())) {
      continue;
    }
    throw Error(ErrorCode::BadInput, fmt::format("\"{}\" is not possible here", name), "leave it out");
  }
  for (const char* name : {"logprobs", "echo"}) {
    const Json* value = field(json, name);
    if (value == nullptr || *value == false) continue;
    throw Error(ErrorCode::BadInput, fmt::format("\"{}\" is not possible here", name), "leave it out");
  }
  if (const Json* format = field(json, "response_format")) {
    if (!format->is_object() || format->value("type", Json()) != "text") refuse("response_format", *format, "none");
  }
  if (whole(json, "best_of", 1, 1, 1'000) > whole(json, "n", 1, 1, kMostChoices)) {
    throw Error(ErrorCode::BadInput, "\"best_of\" beyond \"n\" is not possible here", "leave it out");
  }
  return json;
}

/// A message's content: a text, or parts that are texts.
std::string content_of(const Json& message, std::size_t number) {
  const std::string name = fmt::format("messages[{}].content", number);
  const Json* content = field(message, "content");
  if (content == nullptr) throw Error(ErrorCode::BadInput, fmt::format("\"{}\" is missing", name));
  if (!content->is_array()) return text(*content, name);
  std::string all;
  for (const Json& part : *content) {
    if (!part.is_object() || part.value("type", Json()) != "text" || !part.contains("text")) {
      refuse(name, part, "parts of the type text");
    }
    all += text(part["text"], name);
  }
  return all;
}

std::vector<Message> messages_of(const Json& body) {
  const Json* list = field(body, "messages");
  if (list == nullptr || !list->is_array() || list->empty()) {
    throw Error(ErrorCode::BadInput, "\"messages\" is missing or empty", "send a list of {\"role\", \"content\"}");
  }
  std::vector<Message> messages;
  for (const Json& one : *list) {
    if (!one.is_object()) refuse("messages", one, "objects");
    std::string role = text(one.value("role", Json()), "role");
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant") {
      refuse("role", one["role"], "system, developer, user or assistant");
    }
    messages.push_back({role, content_of(one, messages.size())});
  }
  return messages;
}

std::vector<std::string> stops_of(const Json& body) {
  const Json* stop = field(body, "stop");
  if (stop == nullptr) return {};
  std::vector<std::string> stops;
  for (const Json& one : stop->is_array() ? *stop : Json::array({*stop})) {
    stops.push_back(text(one, "stop"));
    if (stops.back().empty()) refuse("stop", *stop, "texts that are not empty");
  }
  if (stops.size() > kMostStops) refuse("stop", *stop, fmt::format("at most {} texts", kMostStops));
  return stops;
}

std::map<Token, double> biases_of(const Json& body, std::size_t vocabulary) {
  const Json* biases = field(body, "logit_bias");
  if (biases == nullptr) return {};
  if (!biases->is_object() || biases->size() > kMostBiases) {
    refuse("logit_bias", *biases, fmt::format("an object of up to {} token numbers and biases", kMostBiases));
  }
  std::map<Token, double> all;
  for (const auto& [key, value] : biases->items()) {
    Token token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool known = error == std::errc() && end == key.data() + key.size() && token >= 0 &&
                       static_cast<std::size_t>(token) < vocabulary;
    if (!known) refuse("logit_bias", key, fmt::format("numbers of tokens, below {}", vocabulary));
    const double bias = number(*biases, key.c_str(), 0, -100, 100);
    all[token] = bias <= -100 ? -std::numeric_limits<double>::infinity() : bias;  // OpenAI: -100 bans a token
  }
  return all;
}

}  // namespace

GenerationSettings RequestParser::settings_of(const Json& body, Asked& asked) const {
  GenerationSettings settings;
  const auto most = static_cast<std::int64_t>(most_tokens_);
  const char* const limit = field(body, "max_completion_tokens") != nullptr ? "max_completion_tokens" : "max_tokens";
  settings.max_tokens = static_cast<std::size_t>(whole(body, limit, most, 1, most));
  SamplerOptions& sampling = settings.sampling;
  sampling.temperature = number(body, "temperature", sampling.temperature, 0, 2);
  if (sampling.temperature < 0.001) sampling.temperature = 0;
  sampling.top_p = std::max(1e-6, number(body, "top_p", sampling.top_p, 0, 1));
  sampling.top_k = static_cast<int>(whole(body, "top_k", sampling.top_k, 0, 1'000'000));
  sampling.min_p = number(body, "min_p", sampling.min_p, 0, 1);
  sampling.repeat_penalty = number(body, "repeat_penalty", sampling.repeat_penalty, 0.1, 10);
  sampling.presence_penalty = number(body, "presence_penalty", 0, -2, 2);
  sampling.frequency_penalty = number(body, "frequency_penalty", 0, -2, 2);
  sampling.logit_bias = biases_of(body, model_.backbone.identity().vocabulary);
  settings.stops = stops_of(body);
  // One that was not asked for is drawn, and part of the answer.
  constexpr auto kLargest = std::numeric_limits<std::int64_t>::max();
  const Json* seed = field(body, "seed");
  asked.seed = static_cast<std::uint64_t>(
      seed != nullptr ? whole(body, "seed", 0, std::numeric_limits<std::int64_t>::min(), kLargest)
                      : std::random_device()());
  settings.tilt = asked.tilt.get();
  return settings;
}

void RequestParser::choose_guidance(const Json& body, Asked& asked) const {
  const std::string model = field(body, "model") != nullptr ? text(body["model"], "model") : "";
  const std::vector<std::string> names = model_.names();
  if (!model.empty() && std::ranges::find(names, model) == names.end()) {
    throw Error(ErrorCode::Mismatch, fmt::format("there is no model \"{}\" here", model),
                fmt::format("there are {}", fmt::join(names, ", ")));
  }
  // Heads are made to guide alone: of several, one is named, or a mixture.
  for (const auto& [name, tilt] : model_.heads) {
    const bool is_named = model == model_.name + "+" + name;
    if (is_named || (model.empty() && model_.heads.size() == 1)) asked.heads[name] = 1;
  }
  if (const Json* heads = field(body, "heads")) {
    if (!heads->is_object()) refuse("heads", *heads, "an object of names and scales");
    asked.heads.clear();
    for (const auto& [name, scale] : heads->items()) {
      if (!model_.heads.contains(name)) {
        throw Error(ErrorCode::Mismatch, fmt::format("there is no head \"{}\" here", name), "see /v1/models");
      }
      asked.heads[name] = number(*heads, name.c_str(), 1, -10, 10);
    }
  }
  const double factor = number(body, "guidance_scale", 1, -10, 10);
  std::vector<TiltMixture::Part> parts;
  for (auto& [name, scale] : asked.heads) {
    scale *= factor;
    if (scale != 0) parts.emplace_back(model_.heads.at(name).get(), scale);
  }
  std::erase_if(asked.heads, [](const auto& head) { return head.second == 0; });
  if (!parts.empty()) asked.tilt = std::make_shared<TiltMixture>(std::move(parts));
  const bool by_the_only = model.empty() && model_.heads.size() == 1 && !asked.heads.empty();
  asked.model = by_the_only ? names.back() : model.empty() ? model_.name : model;
}

Asked RequestParser::parse_common(const Json& body) const {
  Asked asked;
  choose_guidance(body, asked);
  asked.streams = flag(body, "stream", false);
  if (const Json* options = field(body, "stream_options")) {
    if (!options->is_object()) refuse("stream_options", *options, "an object");
    asked.includes_usage = flag(*options, "include_usage", false);
  }
  return asked;
}

void RequestParser::add_prompt(Asked& asked, const Prompt& prompt, TemplateMode mode, bool thinks, std::int64_t count,
                               const GenerationSettings& settings) const {
  Request request;
  request.prompt = model_.backbone.encode_prompt(prompt, mode, thinks ? Thinking::On : Thinking::Off);
  const std::size_t tokens = request.prompt.tokens.size();
  const std::size_t context = model_.backbone.identity().context_tokens;
  if (tokens == 0) throw Error(ErrorCode::BadInput, "the prompt has no tokens to continue");
  const std::size_t reply = tokens < context ? std::min(settings.max_tokens, context - tokens) : 1;
  if (tokens + reply > std::min(context, cells_)) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the prompt has {} tokens and its reply may have {}; there is room for {}", tokens, reply,
                            std::min(context, cells_)),
                "shorten the prompt, or ask for fewer tokens");
  }
  request.settings = settings;
  asked.prompt_tokens += tokens;
  for (std::int64_t i = 0; i < count; ++i) {
    request.settings.seed = asked.seed + static_cast<std::uint64_t>(i);
    asked.requests.push_back(request);
  }
}

Asked RequestParser::parse_chat(const std::string& text_of_body) const {
  const Json body = parsed(text_of_body);
  Asked asked = parse_common(body);
  const GenerationSettings settings = settings_of(body, asked);
  add_prompt(asked, {messages_of(body), ""}, model_.mode, flag(body, "thinking", false),
             whole(body, "n", 1, 1, kMostChoices), settings);
  return asked;
}

Asked RequestParser::parse_completion(const std::string& text_of_body) const {
  const Json body = parsed(text_of_body);
  Asked asked = parse_common(body);
  const GenerationSettings settings = settings_of(body, asked);
  const Json* prompts = field(body, "prompt");
  if (prompts == nullptr) throw Error(ErrorCode::BadInput, "\"prompt\" is missing", "send a text or a list of texts");
  const Json list = prompts->is_array() ? *prompts : Json::array({*prompts});
  if (list.empty() || list.size() > static_cast<std::size_t>(kMostChoices)) {
    refuse("prompt", *prompts, fmt::format("a text, or a list of 1 to {}", kMostChoices));
  }
  for (const Json& one : list) {
    add_prompt(asked, {{}, text(one, "prompt")}, TemplateMode::Model, false, whole(body, "n", 1, 1, kMostChoices),
               settings);
  }
  return asked;
}

}  // namespace coala
