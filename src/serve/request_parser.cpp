#include "serve/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <random>
#include <string_view>
#include <utility>

#include "decode/guidance.h"
#include "decode/guide_kinds.h"
#include "decode/tilt_mixture.h"
#include "serve/request_error.h"
#include "serve/setting_fields.h"

namespace coala {
namespace {

using nlohmann::json;

double number(const json& body, const char* name, double standard) {
  const json* value = field(body, name);
  return value == nullptr ? standard : value->get<double>();
}

std::size_t whole(const json& body, const char* name, std::size_t standard) {
  const json* value = field(body, name);
  return value == nullptr ? standard : value->get<std::size_t>();
}

bool flag(const json& body, const char* name) {
  const json* value = field(body, name);
  return value != nullptr && value->get<bool>();
}

/// A message's content: a text, or parts that are texts.
std::string content_of(const json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string all;
  for (const json& part : content) all += part["text"].get_ref<const std::string&>();
  return all;
}

std::vector<std::string> stops_of(const json& body) {
  const json* stop = field(body, "stop");
  if (stop == nullptr) return {};
  return stop->is_string() ? std::vector{stop->get<std::string>()} : stop->get<std::vector<std::string>>();
}

std::map<Token, double> biases_of(const json& body, std::size_t vocabulary) {
  const json* biases = field(body, "logit_bias");
  if (biases == nullptr) return {};
  std::map<Token, double> all;
  for (const auto& [key, value] : biases->items()) {
    Token token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    const bool known = error == std::errc() && end == key.data() + key.size() && token >= 0 &&
                       static_cast<std::size_t>(token) < vocabulary;
    if (!known) {
      throw RequestError(400, "invalid_value",
                         fmt::format("\"{}\" is no token: they are numbers below {}", key, vocabulary), "logit_bias");
    }
    const auto bias = value.get<double>();
    all[token] = bias <= -100 ? -std::numeric_limits<double>::infinity() : bias;  // OpenAI: -100 bans a token
  }
  return all;
}

/// How many tokens are to be named beside each: chat says whether and how many, completions how many.
std::optional<std::size_t> alternatives_of(const json& body) {
  const json* wanted = field(body, "logprobs");
  if (wanted == nullptr || *wanted == false) return std::nullopt;
  return wanted->is_boolean() ? whole(body, "top_logprobs", 0) : wanted->get<std::size_t>();
}

RequestError no_such_model(const std::string& model, const ServedModel& served) {
  return {404, "model_not_found", fmt::format("there is no model \"{}\" here", model), "model",
          fmt::format("there are {}", fmt::join(served.names(), ", "))};
}

}  // namespace

std::vector<Message> messages_of(const json& list, const std::string& where) {
  std::vector<Message> messages;
  for (const json& one : list) {
    std::string role = one["role"].get<std::string>();
    if (role == "developer") role = "system";
    const json* content = field(one, "content");
    if (content == nullptr && role != "assistant") {
      const std::string name = fmt::format("{}[{}].content", where, messages.size());
      throw RequestError(400, "missing_required_parameter", fmt::format("\"{}\" is missing", name), name);
    }
    messages.push_back({role, content == nullptr ? std::string() : content_of(*content)});
  }
  return messages;
}

GenerationSettings RequestParser::settings_of(const json& body, Asked& asked) const {
  GenerationSettings settings;
  const char* const limit = field(body, "max_completion_tokens") != nullptr ? "max_completion_tokens" : "max_tokens";
  settings.max_tokens = whole(body, limit, most_tokens_);
  asked.names_length = field(body, limit) != nullptr;
  if (settings.max_tokens > most_tokens_) {
    throw RequestError(
        400, "invalid_value",
        fmt::format("\"{}\" is {}; this server writes up to {}", limit, settings.max_tokens, most_tokens_), limit,
        "ask for fewer");
  }
  SamplerOptions& sampling = settings.sampling;
  read_request(body, sampling);
  // Clients ask for these, and mean the nearest that there is.
  if (sampling.temperature < 0.001) sampling.temperature = 0;
  sampling.top_p = std::max(1e-6, sampling.top_p);
  sampling.logit_bias = biases_of(body, model_.backbone.identity().vocabulary);
  settings.stops = stops_of(body);
  // One that was not asked for is drawn, and part of the answer.
  const json* seed = field(body, "seed");
  asked.seed = static_cast<std::uint64_t>(seed != nullptr ? seed->get<std::int64_t>() : std::random_device()());
  settings.measures = false;
  choose_guidance(body, asked, settings);
  if (const std::optional<std::size_t> count = alternatives_of(body)) {
    asked.with_logprobs = true;
    settings.measures = true;
    settings.alternatives = count;
  }
  return settings;
}

void RequestParser::choose_heads(const json& body, Asked& asked) const {
  const json* named = field(body, "model");
  const std::string model = named == nullptr ? "" : model_.full_name(named->get<std::string>());
  const std::vector<std::string> names = model_.names();
  if (named != nullptr && std::ranges::find(names, model) == names.end()) {
    throw no_such_model(named->get<std::string>(), model_);
  }
  // Heads are made to guide alone: of several, one is named, or a mixture.
  const bool is_taught = named == nullptr && model_.teacher != nullptr;  // what was learnt is for the next reply
  const bool is_only = named == nullptr && names.size() == 2;
  for (std::size_t i = 1; i < names.size(); ++i) {
    const std::string head = names[i].substr(model_.name.size() + 1);
    if (model == names[i] || is_only || (is_taught && head == ServedModel::kTaught)) asked.heads[head] = 1;
  }
  if (const json* heads = field(body, "heads")) {
    asked.heads.clear();
    for (const auto& [name, scale] : heads->items()) {
      if (!model_.guides(name) && !model_.rewards.contains(name)) {
        throw RequestError(404, "model_not_found", fmt::format("there is no head \"{}\" here", name), "heads",
                           "see /v1/models");
      }
      if (!scale.is_null()) asked.heads[name] = scale.get<double>();
    }
  }
  const bool by_default = (is_only || is_taught) && asked.heads.size() == 1;
  asked.model = named != nullptr ? model : by_default ? model_.name + "+" + asked.heads.begin()->first : model_.name;
}

namespace {

/// Tilts that live as long as their mixture.
struct KeptMixture {
  std::vector<std::shared_ptr<const LogitsProcessor>> tilts;
  TiltMixture mixture;
};

std::shared_ptr<const LogitsProcessor> mixture_of(const ServedModel& model, const std::map<std::string, double>& heads,
                                                  bool without_context) {
  std::vector<std::shared_ptr<const LogitsProcessor>> tilts;
  std::vector<TiltMixture::Part> parts;
  for (const auto& [name, scale] : heads) {
    const auto bias = model.biases.find(name);
    if (without_context && bias == model.biases.end()) {
      throw RequestError(400, "unsupported_parameter", fmt::format("the head \"{}\" has no bias to guide by", name),
                         "guidance");
    }
    std::shared_ptr<const LogitsProcessor> tilt = without_context ? bias->second : model.tilt(name);
    if (!tilt) continue;  // one that has learnt nothing yet says nothing
    parts.emplace_back(tilt.get(), scale);
    tilts.push_back(std::move(tilt));
  }
  if (parts.empty()) return nullptr;
  const auto kept = std::make_shared<const KeptMixture>(KeptMixture{std::move(tilts), TiltMixture(std::move(parts))});
  return {kept, &kept->mixture};
}

}  // namespace

/// How the heads that were chosen take part.
void RequestParser::choose_guidance(const json& body, Asked& asked, GenerationSettings& settings) const {
  const auto drop_silent = [&] { std::erase_if(asked.heads, [](const auto& head) { return head.second == 0; }); };
  drop_silent();
  const double factor = number(body, "guidance_scale", 1);
  for (auto& [name, scale] : asked.heads) scale *= factor;
  const json* named = field(body, "guidance");
  // Branches know a scale of 0: there are none, and the head still scores the reply.
  if (named == nullptr || guidance_names().at(named->get<std::string>()) != Guidance::Branch) drop_silent();
  const bool all_guide = std::ranges::all_of(asked.heads, [&](const auto& head) { return model_.guides(head.first); });
  GuidanceOptions options{all_guide ? Guidance::EachToken : Guidance::BestOfN};
  if (named != nullptr) options.guidance = guidance_names().at(named->get<std::string>());
  // What heads do unless told otherwise.
  if (options.guidance == Guidance::EachToken && asked.heads.empty()) options.guidance = Guidance::None;
  asked.guidance = guidance_name(options.guidance);
  const auto wrong = [&](const std::string& what, std::string_view param) {
    return RequestError(400, "unsupported_parameter", what, std::string(param));
  };
  const bool branches = options.guidance == Guidance::Branch;
  const bool chooses = branches || options.guidance == Guidance::Sentence || chooses_best(options);
  const auto refuse = [&](std::string_view parameter) {
    throw wrong(fmt::format("\"{}\" does not go with the guidance {}", parameter, asked.guidance), parameter);
  };
  if (!chooses && whole(body, "num_candidates", 1) != 1) refuse("num_candidates");
  for_each_setting(options.branch, [&](const Setting& setting, const auto&) {
    const json* found = branches ? nullptr : asked_of(body, setting);
    if (found != nullptr && *found != 1) refuse(setting.json_key());
  });
  if (options.guidance == Guidance::None) asked.heads.clear();
  if (options.guidance != Guidance::None && asked.heads.empty()) {
    throw wrong(fmt::format("the guidance {} goes by a head, and none is named", asked.guidance), "guidance");
  }
  if (!chooses) {
    if (!all_guide) throw wrong("the head scores, and does not guide tokens", named != nullptr ? "guidance" : "heads");
    asked.tilt = mixture_of(model_, asked.heads, options.guidance == Guidance::Bias);
    settings.tilt = asked.tilt.get();
    return;
  }
  const auto& [name, scale] = *asked.heads.begin();
  if (asked.heads.size() > 1 || !model_.rewards.contains(name)) {
    throw wrong(fmt::format("the guidance {} goes by the scores of one head", asked.guidance), "heads");
  }
  if (!takes_scale(options.guidance) && scale != 1) {
    throw wrong(fmt::format("the guidance {} knows no scale: the head chooses or does not", asked.guidance),
                field(body, "guidance_scale") != nullptr ? "guidance_scale" : "heads");
  }
  asked.reward = model_.rewards.at(name);
  settings.reward = RewardHead{&asked.reward->head, asked.reward->scorer->extractor().settings()};
  settings.measures = true;
  read_request(body, options.branch);
  options.branch.scale = field(body, "guidance_scale") != nullptr ? scale : options.branch.scale * scale;
  if (field(body, "num_candidates") != nullptr) options.candidates = static_cast<int>(whole(body, "num_candidates", 1));
  set_choices(settings, options);
}

Asked RequestParser::parse_common(const json& body) const {
  Asked asked;
  choose_heads(body, asked);
  asked.streams = flag(body, "stream");
  if (const json* options = field(body, "stream_options")) asked.includes_usage = flag(*options, "include_usage");
  if (whole(body, "best_of", 1) > whole(body, "n", 1)) {
    throw RequestError(400, "unsupported_parameter", "\"best_of\" beyond \"n\" is not possible here", "best_of",
                       "leave it out");
  }
  return asked;
}

void RequestParser::add_prompt(Asked& asked, const Prompt& prompt, TemplateMode mode, bool thinks, std::size_t count,
                               const GenerationSettings& settings) const {
  Request request;
  request.prompt = model_.backbone.encode_prompt(prompt, mode, thinks ? Thinking::On : Thinking::Off);
  const std::size_t tokens = request.prompt.tokens.size();
  const std::size_t context = model_.backbone.identity().context_tokens;
  const std::size_t room = std::min(context, cells_);
  const char* const where = prompt.messages.empty() ? "prompt" : "messages";
  if (tokens == 0) throw RequestError(400, "invalid_value", "the prompt has no tokens to continue", where);
  GenerationSettings own = settings;
  std::size_t reply = tokens < context ? std::min(settings.max_tokens, context - tokens) : 1;
  const auto cells_of = [&](std::size_t length) {
    return length + guide_kind(own).branch_tokens(model_.backbone, own, length);
  };
  if (!asked.names_length && tokens < cells_) {  // as long as there is room for
    const std::size_t each = cells_of(2) - cells_of(1);
    const std::size_t fixed = cells_of(1) - each;
    const std::size_t left = cells_ - tokens > fixed ? (cells_ - tokens - fixed) / each : 1;
    reply = std::clamp<std::size_t>(left, 1, reply);
    own.max_tokens = reply;
  }
  const auto too_long = [&](const std::string& what, std::size_t limit) {
    return RequestError(400, "context_length_exceeded", what, where, "shorten the prompt, or ask for fewer tokens",
                        {{"n_prompt_tokens", tokens}, {"n_ctx", limit}});
  };
  if (tokens > most_prompt_tokens_) {
    throw too_long(fmt::format("the prompt has {} tokens; this server takes up to {}", tokens, most_prompt_tokens_),
                   most_prompt_tokens_);
  }
  if (tokens + reply > context || tokens + cells_of(reply) > cells_) {
    throw too_long(fmt::format("the request exceeds the available context size: the prompt has {} tokens and its reply "
                               "may have {}; there is room for {}",
                               tokens, cells_of(reply), room),
                   room);
  }
  request.settings = own;
  asked.prompt_tokens += tokens;
  for (std::size_t i = 0; i < count; ++i) {
    request.settings.seed = asked.seed + i;
    asked.requests.push_back(request);
  }
}

Asked RequestParser::parse_chat(const json& body) const {
  if (whole(body, "top_logprobs", 0) > 0 && !flag(body, "logprobs")) {
    throw RequestError(400, "invalid_value", "\"top_logprobs\" goes with \"logprobs\": true", "top_logprobs");
  }
  Asked asked = parse_common(body);
  const GenerationSettings settings = settings_of(body, asked);
  std::vector<Message> messages = messages_of(body["messages"], "messages");
  // An answer that is still empty is the one that is asked for.
  if (messages.size() > 1 && messages.back().role == "assistant" && messages.back().content.empty()) {
    messages.pop_back();
  }
  add_prompt(asked, {std::move(messages), ""}, model_.mode, flag(body, "thinking"), whole(body, "n", 1), settings);
  return asked;
}

Asked RequestParser::parse_completion(const json& body) const {
  Asked asked = parse_common(body);
  const GenerationSettings settings = settings_of(body, asked);
  const json& prompts = body["prompt"];
  for (const json& one : prompts.is_array() ? prompts : json::array({prompts})) {
    add_prompt(asked, {{}, one.get<std::string>()}, TemplateMode::Model, false, whole(body, "n", 1), settings);
  }
  return asked;
}

}  // namespace coala
