#include "serve/model_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <vector>

#include "serve/operations.h"
#include "serve/request_error.h"
#include "serve/request_parser.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

const std::int64_t kStarted = std::time(nullptr);

bool flag(const nlohmann::json& body, const char* name, bool standard) {
  const nlohmann::json* value = field(body, name);
  return value == nullptr ? standard : value->get<bool>();
}

std::vector<Token> tokens_of(const ServedModel& model, const nlohmann::json& body) {
  const Backbone& backbone = model.backbone;
  if (const nlohmann::json* messages = field(body, "messages")) {
    return backbone.encode_prompt({messages_of(*messages, "messages"), ""}, model.mode).tokens;
  }
  const nlohmann::json* content = field(body, "content");
  if (content == nullptr) content = field(body, "prompt");
  if (content == nullptr) {
    throw RequestError(400, "missing_required_parameter", "\"content\" is missing", "content");
  }
  const bool from_user = !flag(body, "parse_special", true);
  const std::array<TextPart, 1> text{{{content->get<std::string>(), from_user}}};
  std::vector<Token> tokens = backbone.tokenizer().encode(text, /*at_start=*/true);
  const bool adds = flag(body, "add_special", false) || flag(body, "add_special_tokens", false);
  const Token bos = backbone.tokenizer().bos();
  const bool has_bos = !tokens.empty() && tokens.front() == bos;
  if (adds && backbone.tokenizer().adds_bos() && bos >= 0 && !has_bos) tokens.insert(tokens.begin(), bos);
  return tokens;
}

/// Their text, control tokens as templates write them.
std::string text_of(const Tokenizer& tokenizer, const std::vector<Token>& tokens) {
  std::string text;
  for (std::size_t begin = 0; begin < tokens.size();) {
    if (tokenizer.is_control(tokens[begin])) {
      text += tokenizer.control_text(tokens[begin++]);
      continue;
    }
    std::size_t end = begin;
    while (end < tokens.size() && !tokenizer.is_control(tokens[end])) ++end;
    text += tokenizer.decode(std::span(tokens).subspan(begin, end - begin), /*at_start=*/true);
    begin = end;
  }
  return text;
}

}  // namespace

Json model_json(const ServedModel& model, const ServedLimits& limits, const std::string& asked) {
  const std::string name = model.full_name(asked);
  const std::vector<std::string> names = model.names();
  if (std::ranges::find(names, name) == names.end()) {
    throw RequestError(404, "model_not_found", fmt::format("there is no model \"{}\" here", asked), "model",
                       fmt::format("there are {}", fmt::join(names, ", ")));
  }
  const BackboneIdentity& identity = model.backbone.identity();
  Json json{{"id", name},
            {"object", "model"},
            {"created", kStarted},
            {"owned_by", "coala"},
            {"max_model_len", std::min(identity.context_tokens, limits.cells)},
            {"meta",
             {{"n_ctx_train", identity.context_tokens},
              {"n_ctx", std::min(identity.context_tokens, limits.cells)},
              {"n_vocab", identity.vocabulary},
              {"n_params", identity.parameters},
              {"architecture", identity.architecture},
              {"quantization", identity.quantization}}},
            {"limits",
             {{"max_tokens", limits.most_tokens},
              {"max_prompt_tokens", limits.most_prompt_tokens},
              {"n", kMostChoices},
              {"items", kMostItems}}}};
  const std::string alias = "base" + name.substr(model.name.size());
  json["aliases"] = Json::array({alias});
  if (name != model.name) json["head"] = model.card(name.substr(model.name.size() + 1));
  return json;
}

Json models_json(const ServedModel& model, const ServedLimits& limits) {
  Json list = Json::array();
  for (const std::string& name : model.names()) list.push_back(model_json(model, limits, name));
  return {{"object", "list"}, {"data", list}};
}

Json props_json(const ServedModel& model, const ServedLimits& limits, const std::string& version) {
  const BackboneIdentity& identity = model.backbone.identity();
  const SamplerOptions sampling;
  Json heads = Json::object();
  for (const auto& [head, reward] : model.rewards) heads[head] = model.card(head);
  return {{"default_generation_settings",
           {{"n_ctx", std::min(identity.context_tokens, limits.cells)},
            {"params",
             {{"temperature", sampling.temperature},
              {"top_k", sampling.top_k},
              {"top_p", sampling.top_p},
              {"min_p", sampling.min_p},
              {"repeat_penalty", sampling.repeat_penalty},
              {"max_tokens", limits.most_tokens}}}}},
          {"total_slots", limits.streams},
          {"model_alias", model.name},
          {"model_digest", identity.hash},
          {"template", template_mode_name(model.mode)},
          {"template_source", identity.template_source},
          {"bos_token", model.backbone.tokenizer().bos_text()},
          {"eos_token", model.backbone.tokenizer().eos_text()},
          {"heads", heads},
          {"build_info", "coala " + version}};
}

Json tokenize_json(const ServedModel& model, const nlohmann::json& body) {
  const std::vector<Token> tokens = tokens_of(model, body);
  Json list = Json::array();
  for (const Token token : tokens) {
    if (flag(body, "with_pieces", false)) {
      list.push_back({{"id", token}, {"piece", text_of(model.backbone.tokenizer(), {token})}});
    } else {
      list.push_back(token);
    }
  }
  return {{"tokens", list}, {"count", tokens.size()}, {"max_model_len", model.backbone.identity().context_tokens}};
}

Json detokenize_json(const ServedModel& model, const nlohmann::json& body) {
  const auto tokens = body["tokens"].get<std::vector<Token>>();
  const std::size_t vocabulary = model.backbone.identity().vocabulary;
  for (const Token token : tokens) {
    if (static_cast<std::size_t>(token) < vocabulary) continue;
    throw RequestError(400, "invalid_value", fmt::format("{} is no token: they are below {}", token, vocabulary),
                       "tokens");
  }
  const std::string text = text_of(model.backbone.tokenizer(), tokens);
  return {{"content", text}, {"prompt", text}};
}

}  // namespace coala
