#include "serve/answer_schemas.h"

#include <string>
#include <utility>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;
using Properties = std::initializer_list<std::pair<const char*, Json>>;

Json of_type(const char* type) {
  return {{"type", type}};
}
const Json kText = of_type("string");
const Json kFlag = of_type("boolean");
const Json kNumber = of_type("number");
const Json kWhole = of_type("integer");
const Json kCount{{"type", "integer"}, {"minimum", 0}};
const Json kShare{{"type", "number"}, {"minimum", 0}, {"maximum", 1}};

Json only(const char* value) {
  return {{"type", "string"}, {"enum", {value}}};
}
Json list(const Json& items) {
  return {{"type", "array"}, {"items", items}};
}
Json or_null(const Json& schema) {
  return {{"anyOf", {schema, of_type("null")}}};
}
/// An object with all of these; others may be there.
Json object(Properties required, Properties optional = {}) {
  Json schema{{"type", "object"}, {"required", Json::array()}, {"properties", Json::object()}};
  for (const auto& [name, property] : required) {
    schema["required"].push_back(name);
    schema["properties"][name] = property;
  }
  for (const auto& [name, property] : optional) schema["properties"][name] = property;
  return schema;
}

const Json kUsage = object({{"prompt_tokens", kCount}, {"completion_tokens", kCount}, {"total_tokens", kCount}});
const Json kWarnings = list(kText);

Json completion(bool chat) {
  const Json finish{{"type", "string"}, {"enum", {"stop", "length"}}};
  const Json message = object({{"role", only("assistant")}, {"content", kText}, {"refusal", of_type("null")}},
                              {{"reasoning_content", kText}});
  const Json choice = object({{"index", kCount},
                              {chat ? "message" : "text", chat ? message : kText},
                              {"logprobs", or_null(of_type("object"))},
                              {"finish_reason", finish}},
                             {{"score", kNumber}});
  return object({{"id", kText},
                 {"object", only(chat ? "chat.completion" : "text_completion")},
                 {"created", kWhole},
                 {"model", kText},
                 {"choices", list(choice)},
                 {"usage", kUsage},
                 {"coala", object({{"seed", kWhole}, {"guidance", kText}, {"heads", of_type("object")}})}},
                {{"warnings", kWarnings}});
}

Json models() {
  const Json model = object({{"id", kText},
                             {"object", only("model")},
                             {"created", kWhole},
                             {"owned_by", kText},
                             {"max_model_len", kCount},
                             {"meta", of_type("object")},
                             {"limits", of_type("object")},
                             {"aliases", list(kText)}},
                            {{"head", of_type("object")}});
  return object({{"object", only("list")}, {"data", list(model)}});
}

/// What all answers with scores have beside them.
Json with_scores(const char* name, const Json& items) {
  const Json schema =
      object({{"id", kText},
              {"object", only("list")},
              {"created", kWhole},
              {"model", kText},
              {name, items},
              {"usage", kUsage},
              {"coala", object({{"head", kText}, {"digest", kText}, {"scale", kText}})}},
             {{"warnings", kWarnings}, {"errors", list(object({{"index", kCount}, {"message", kText}}))}});
  return schema;
}

/// An item of a list in vLLM's shape.
Json item(const char* name, const Json& value) {
  return list(object({{"index", kCount}, {name, value}}, {{"truncated", kFlag}, {"error", kText}}));
}

Json rerank() {
  const Json result = object({{"index", kCount}, {"relevance_score", kNumber}},
                             {{"document", object({{"text", kText}})}, {"truncated", kFlag}});
  Json schema = with_scores("results", list(result));
  schema["required"].push_back("meta");
  schema["properties"]["meta"] = of_type("object");
  return schema;
}

Json rewards() {
  Json schema = with_scores("rewards", list(or_null(kNumber)));
  for (const char* name : {"scores", "extra_logs"}) schema["required"].push_back(name);
  schema["properties"]["scores"] = list(or_null(kNumber));
  schema["properties"]["extra_logs"] = object({{"truncated", list(kCount)}, {"tokens", list(kCount)}});
  return schema;
}

Json classes() {
  const Json embedding = object({{"embedding", list(or_null(kNumber))}, {"scale", kText}}, {{"error", kText}});
  return {{"anyOf", {with_scores("data", item("probs", list(or_null(kNumber)))), list(embedding)}}};
}

Json feedback() {
  return object({{"object", only("feedback")},
                 {"head", kText},
                 {"id", or_null(kText)},
                 {"pairs", kCount},
                 {"ratings", kCount},
                 {"accuracy", object({{"value", kShare}, {"low", kShare}, {"high", kShare}, {"lessons", kCount}})},
                 {"reliability", kShare},
                 {"last_log_odds", kNumber},
                 {"last_change", or_null(object({{"before", kNumber}, {"after", kNumber}}))},
                 {"truncated", kFlag},
                 {"raised", list(kText)},
                 {"lowered", list(kText)},
                 {"seconds", object({{"evaluation", kNumber}, {"solution", kNumber}})}},
                {{"warnings", kWarnings}});
}

Json next_pair() {
  return object({{"object", only("feedback.next")},
                 {"candidate", kCount},
                 {"replies", list(kCount)},
                 {"information_bits", kNumber},
                 {"log_odds", object({{"mean", kNumber}, {"deviation", kNumber}})},
                 {"considered", kCount}},
                {{"warnings", kWarnings}});
}

Json influence() {
  const Json lessons = list(object({{"influence", kNumber}}));
  return object({{"object", only("feedback.influence")},
                 {"log_odds", kNumber},
                 {"lessons", kCount},
                 {"truncated", kFlag},
                 {"raise", lessons},
                 {"lower", lessons}},
                {{"warnings", kWarnings}});
}

Json health() {
  return object({{"status", {{"type", "string"}, {"enum", {"ok", "stuck"}}}},
                 {"waiting", kCount},
                 {"writing", kCount},
                 {"items_waiting", kCount},
                 {"last_step_s", kNumber}});
}

Json props() {
  return object({{"default_generation_settings", of_type("object")},
                 {"total_slots", kCount},
                 {"model_alias", kText},
                 {"model_digest", kText},
                 {"template", kText},
                 {"bos_token", kText},
                 {"eos_token", kText},
                 {"heads", of_type("object")},
                 {"build_info", kText}});
}

}  // namespace

Json answer_schema(std::string_view method, std::string_view path) {
  if (path.ends_with("chat/completions")) return completion(/*chat=*/true);
  if (path.ends_with("completions")) return completion(/*chat=*/false);
  if (path.ends_with("/models")) return models();
  if (path.ends_with("/score")) return with_scores("data", item("score", or_null(kNumber)));
  if (path.ends_with("/rerank")) return rerank();
  if (path.ends_with("/get_reward")) return rewards();
  if (path.ends_with("/classify")) return classes();
  if (path.ends_with("/pooling")) return with_scores("data", item("data", list(or_null(kNumber))));
  if (path == "/tokenize") {
    const Json token{{"anyOf", {kCount, object({{"id", kCount}, {"piece", kText}})}}};
    return object({{"tokens", list(token)}, {"count", kCount}, {"max_model_len", kCount}}, {{"warnings", kWarnings}});
  }
  if (path == "/detokenize") return object({{"content", kText}, {"prompt", kText}}, {{"warnings", kWarnings}});
  if (path == "/v1/feedback" || (path == "/v1/feedback/last" && method == "DELETE")) return feedback();
  if (path == "/v1/feedback/next") return next_pair();
  if (path == "/v1/feedback/influence") return influence();
  if (path == "/health") return health();
  if (path == "/props") return props();
  if (path == "/openapi.json") return object({{"openapi", kText}, {"paths", of_type("object")}});
  return Json::object();
}

}  // namespace coala
