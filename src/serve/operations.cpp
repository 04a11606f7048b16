#include "serve/operations.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "decode/guidance.h"
#include "serve/setting_fields.h"

namespace coala {
namespace {

using nlohmann::json;
using Fields = std::vector<Field>;

json number(double least, double most) {
  return {{"type", "number"}, {"minimum", least}, {"maximum", most}};
}
json whole(std::int64_t least, std::int64_t most) {
  return {{"type", "integer"}, {"minimum", least}, {"maximum", most}};
}
json flag() {
  return {{"type", "boolean"}};
}
json text() {
  return {{"type", "string"}};
}
json list(const json& items, std::size_t least, std::size_t most) {
  return {{"type", "array"}, {"items", items}, {"minItems", least}, {"maxItems", most}};
}
json any(const std::vector<json>& kinds) {
  return {{"anyOf", kinds}};
}
json only(const std::vector<json>& values) {
  return {{"enum", values}};
}
json none_of_them() {
  return {{"type", "array"}, {"maxItems", 0}};
}
json object(const json& properties, const std::vector<std::string>& required = {}) {
  json schema{{"type", "object"}, {"properties", properties}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}
json scales() {
  return {{"type", "object"}, {"additionalProperties", number(-10, 10)}};
}

json guidances() {
  std::vector<json> names;
  for (const auto& [name, guidance] : guidance_names()) names.emplace_back(name);
  return only(names);
}

/// A message of a conversation. Its role is checked where messages are read, which says what is wrong with it.
json message() {
  const json part = object({{"type", only({"text"})}, {"text", text()}}, {"type", "text"});
  return object({{"role", only({"system", "developer", "user", "assistant"})},
                 {"content", any({text(), list(part, 0, kMostMessages)})},
                 {"name", text()},
                 {"reasoning_content", text()},  // as answers have it; a template is not given it
                 {"refusal", only({nullptr})},
                 {"audio", only({nullptr})},
                 {"tool_calls", none_of_them()},
                 {"function_call", only({nullptr})}},
                {"role"});
}
json conversation() {
  return list(message(), 1, kMostMessages);
}
/// One text or several.
json texts(std::size_t most) {
  return any({text(), list(text(), 1, most)});
}
/// Documents as rerankers' clients send them. What is none is an error of that item, and not of the request.
json documents() {
  const json anything = json::object();
  return list(any({text(), object({{"text", text()}}, {"text"}), anything}), 1, kMostItems);
}

Field model_field() {
  return {"model", text(), "a name from /v1/models, or base, or base+HEAD"};
}

Fields with(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}

/// What both kinds of completion know.
Fields sampling() {
  const json stops =
      any({{{"type", "string"}, {"minLength", 1}}, list({{"type", "string"}, {"minLength", 1}}, 0, kMostStops)});
  const json biases{{"type", "object"}, {"maxProperties", kMostBiases}, {"additionalProperties", number(-100, 100)}};
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  const Fields before{
      model_field(),
      {"stream", flag(), "server-sent events instead of one answer"},
      {"stream_options", object({{"include_usage", flag()}, {"include_obfuscation", flag()}}),
       "include_usage: the usage in a last event"},
      {"max_tokens", whole(1, 1 << 20), "of a reply; at most the server's --max-tokens"},
  };
  const Fields behind{
      {"logit_bias", biases, "by token number; -100 bans a token"},
      {"n", whole(1, kMostChoices), "replies, with seeds that follow each other"},
      {"stop", stops, "a reply ends before the first of these"},
      {"seed", whole(-kLargest - 1, kLargest), "drawn when absent, and told in the answer"},
      {"heads", scales(), "heads that guide, and their scales"},
      {"guidance_scale", number(-10, 10),
       "multiplies the scales of all heads; of branches the scale itself, in place of 1.5"},
      {"guidance", guidances(), "how a head takes part; token, or best-of-n by one without a token head"},
      {"num_candidates", whole(1, kMostCandidates), "best-of-n, sentence, branch: to choose from"},
      {"user", text(), "", Standing::NoEffect},
      {"store", flag(), "nothing is stored", Standing::NoEffect},
      {"metadata", {{"type", "object"}}, "", Standing::NoEffect},
      {"service_tier", text(), "", Standing::NoEffect},
      {"safety_identifier", text(), "", Standing::NoEffect},
      {"prompt_cache_key", text(), "", Standing::NoEffect},
      {"prompt_cache_retention", text(), "", Standing::NoEffect},
      {"grammar", only({""}), "", Standing::Neutral},
      {"json_schema", only({json::object()}), "", Standing::Neutral},
      {"guided_json", only({"", json::object()}), "", Standing::Neutral},
      {"guided_regex", only({""}), "", Standing::Neutral},
      {"min_tokens", only({0}), "", Standing::Neutral},
      {"ignore_eos", only({false}), "", Standing::Neutral},
      {"stop_token_ids", none_of_them(), "", Standing::Neutral},
      {"repetition_penalty", only({1}), "", Standing::Neutral},
  };
  return with(with(with(before, request_fields<SamplerOptions>()), request_fields<BranchSettings>()), behind);
}

Fields chat() {
  return with(sampling(), {{"messages", conversation(), "", Standing::Read, /*required=*/true},
                           {"max_completion_tokens", whole(1, 1 << 20), "the same as max_tokens, and goes before it"},
                           {"thinking", flag(), "whether a model may think first, where its template knows that"},
                           {"parallel_tool_calls", flag(), "", Standing::NoEffect},
                           {"tools", none_of_them(), "", Standing::Neutral},
                           {"tool_choice", only({"none", "auto"}), "", Standing::Neutral},
                           {"functions", none_of_them(), "", Standing::Neutral},
                           {"function_call", only({"none", "auto"}), "", Standing::Neutral},
                           {"response_format", object({{"type", only({"text"})}}, {"type"}), "", Standing::Neutral},
                           {"logprobs", flag(), "of the guided distribution, and beside it of the model's own"},
                           {"top_logprobs", whole(0, kMostAlternatives), "so many of the likeliest tokens at each"},
                           {"modalities", list(only({"text"}), 1, 1), "", Standing::Neutral},
                           {"audio", only({nullptr}), "", Standing::Neutral},
                           {"prediction", only({nullptr}), "", Standing::Neutral},
                           {"reasoning_effort", only({"none"}), "", Standing::Neutral},
                           {"verbosity", only({"medium"}), "", Standing::Neutral},
                           {"web_search_options", only({nullptr}), "", Standing::Neutral}});
}

Fields completion() {
  return with(sampling(), {{"prompt", texts(kMostChoices), "gone on with word for word", Standing::Read, true},
                           {"suffix", only({""}), "", Standing::Neutral},
                           {"echo", only({false}), "", Standing::Neutral},
                           {"best_of", whole(1, kMostChoices), "at most n"},
                           {"logprobs", any({only({false}), whole(0, kMostAlternatives)}),
                            "so many of the likeliest tokens at each, and the one that was drawn"}});
}

/// What all scoring knows.
Fields scoring() {
  return {model_field(),
          {"normalize", flag(), "probabilities instead of log-odds"},
          {"use_activation", flag(), "another name of normalize"},
          {"truncate", any({flag(), only({"none", "left", "right"})}),
           "what is too long: true (as in training), false or none (an error of the item), left, right"},
          {"truncate_prompt_tokens", only({-1}), "", Standing::Neutral},
          {"encoding_format", only({"float"}), "", Standing::Neutral},
          {"softmax", only({false}), "", Standing::Neutral},
          {"add_special_tokens", flag(), "there is one BOS token in either case", Standing::NoEffect},
          {"priority", whole(0, 0), "", Standing::Neutral},
          {"user", text(), "", Standing::NoEffect}};
}

std::vector<Operation> all() {
  constexpr const char* kBytes = "application/octet-stream";
  const Fields conversations{{"messages", any({conversation(), list(conversation(), 1, kMostItems)}),
                              "a conversation that ends with the assistant's answer, or several"},
                             {"input", texts(kMostItems), "texts, with or without the template's tokens in them"}};
  const Fields rerank = with(scoring(), {{"query", text(), "what the documents answer", Standing::Read, true},
                                         {"documents", documents(), "", Standing::Read, true},
                                         {"top_n", whole(1, 1 << 20), "the best only"},
                                         {"return_documents", flag(), ""},
                                         {"max_chunks_per_doc", only({1}), "", Standing::Neutral}});
  const Fields tokenize{{"content", text(), "a text"},
                        {"prompt", text(), "the same"},
                        {"messages", conversation(), "a conversation, by the model's template"},
                        {"add_special", flag(), "a BOS token in front, where the model wants one"},
                        {"add_special_tokens", flag(), "the same"},
                        {"parse_special", flag(), "control tokens in the text are read as such (true)"},
                        {"with_pieces", flag(), "the text of each token as well"},
                        model_field()};
  const json candidate =
      object({{"messages", conversation()}, {"replies", list(text(), 2, kMostChoices)}}, {"messages", "replies"});
  std::vector<Operation> all_of{
      {"POST", "/v1/chat/completions", "a reply to messages", chat()},
      {"POST", "/v1/completions", "goes on with a text", completion()},
      {"GET", "/v1/models", "the model as it is, and with each head"},
      {"POST", "/v1/score", "scores of documents as answers to queries",
       with(scoring(), {{"queries", texts(kMostItems), "one, or one for each document"},
                        {"documents", any({text(), documents()}), "answers"},
                        {"text_1", texts(kMostItems), "another name of queries"},
                        {"text_2", any({text(), documents()}), "another name of documents"}})},
      {"POST", "/v1/rerank", "documents as answers to a query, the best first", rerank},
      {"POST", "/get_reward", "rewards of texts, as OpenRLHF asks for them",
       with(scoring(), {{"query", texts(kMostItems), "prompts with responses", Standing::Read, true},
                        {"prompts", any({only({nullptr}), texts(kMostItems)}), "where the responses begin"},
                        {"labels", {{"type", "array"}}, "not looked at", Standing::NoEffect}})},
      {"POST", "/classify", "scores in the shape of vLLM's classifiers, with text of SGLang's",
       with(with(scoring(), conversations), {{"text", texts(kMostItems), "SGLang's input"}})},
      {"POST", "/pooling", "scores in the shape of vLLM's pooling", with(scoring(), conversations)},
      {"POST", "/tokenize", "tokens of a text or of a conversation", tokenize},
      {"POST",
       "/detokenize",
       "the text of tokens",
       {{"tokens", {{"type", "array"}, {"items", whole(0, 1 << 24)}, {"maxItems", 1 << 20}}, "", Standing::Read, true},
        model_field()}},
      {"POST",
       "/v1/feedback",
       "one reply is better than another, or a reply is good or bad: the next one is written with what was learnt",
       {{"messages", conversation(), "up to the question", Standing::Read, true},
        {"chosen", text(), "the better reply"},
        {"rejected", text(), "the other one"},
        {"response", text(), "a reply by itself"},
        {"rating", any({only({1, -1}), only({"up", "down"})}), "of that"}}},
      {"POST", "/v1/feedback/next",
       "which two replies to the same prompt should be compared: those whose comparison teaches most",
       Fields{Field{"candidates", list(candidate, 1, kMostCandidates), "prompts, each with replies to choose two from",
                    Standing::Read, /*required=*/true}}},
      {"POST",
       "/v1/feedback/influence",
       "which lessons speak for a reply, or for one rather than another",
       {{"messages", conversation(), "up to the question", Standing::Read, true},
        {"response", text(), "the reply", Standing::Read, true},
        {"than", text(), "the reply that it is compared with"},
        {"count", whole(1, 50), "lessons of either kind at most (5)"}}},
      {"GET", "/v1/feedback", "what has been learnt, and how well it foresees"},
      {"DELETE", "/v1/feedback/last", "takes the last of it back",
       Fields{Field{"id", text(), "of the lesson that is meant; if it is not the last, nothing is taken back"}}},
      {"GET", "/v1/feedback/pairs", "all pairs, as JSON lines", {}, "application/jsonl"},
      {"GET", "/v1/feedback/ratings", "all ratings, as JSON lines", {}, "application/jsonl"},
      {"GET", "/v1/feedback/head", "the taught head, as every command takes it", {}, kBytes},
      {"GET", "/v1/feedback/adapter", "the taught head as a LoRA adapter for programs of llama.cpp", {}, kBytes},
      {"GET", "/v1/feedback/model", "the model with the taught head in it, GGUF", {}, kBytes},
      {"GET", "/report", "the report of a head",
       Fields{Field{"head", text(), "its name; not needed where one head has a report"}}, "text/html"},
      {"GET", "/props", "what is served, and its limits"},
      {"GET", "/health", "whether it is well, and how much there is to do"},
      {"GET", "/metrics", "counters for Prometheus", {}, "text/plain"},
      {"GET", "/openapi.json", "this description"},
  };
  // Clients know these with the version and without it.
  const std::pair<const char*, const char*> others[]{{"/v1/rerank", "/rerank"},     {"/v1/rerank", "/v2/rerank"},
                                                     {"/v1/score", "/score"},       {"/get_reward", "/v1/get_reward"},
                                                     {"/classify", "/v1/classify"}, {"/pooling", "/v1/pooling"}};
  for (const auto& [known, other] : others) {
    Operation same = *std::ranges::find(all_of, known, &Operation::path);
    same.path = other;
    all_of.push_back(std::move(same));
  }
  return all_of;
}

}  // namespace

const std::vector<Operation>& operations() {
  static const std::vector<Operation> list = all();
  return list;
}

const Operation* find_operation(std::string_view method, std::string_view path) {
  for (const Operation& one : operations()) {
    if (one.path == path && one.method == method) return &one;
  }
  return nullptr;
}

const json* field(const json& body, const char* name) {
  const auto found = body.find(name);
  return found == body.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace coala
