#include "core/utf8.h"
#include "serve/answer_schemas.h"
#include "serve/operations.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// The schema of a field that may be null, which counts as absent.
Json nullable(const nlohmann::json& schema) {
  return {{"anyOf", {Json(schema), {{"type", "null"}}}}};
}

Json body_schema(const Operation& operation) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const Field& field : operation.fields) {
    Json schema = field.required ? Json(field.schema) : nullable(field.schema);
    std::string about = field.about;
    if (field.standing == Standing::NoEffect) about += about.empty() ? "without effect" : " (without effect)";
    if (field.standing == Standing::Neutral) about += about.empty() ? "other values are refused" : "";
    if (!about.empty()) schema["description"] = about;
    properties[field.name] = schema;
    if (field.required) required.push_back(field.name);
  }
  Json schema{{"type", "object"}, {"properties", properties}};
  if (!required.empty()) schema["required"] = required;
  return schema;
}

/// A schema that a single word names.
Json reference(const char* name) {
  return {{"$ref", std::string("#/components/schemas/") + name}};
}

}  // namespace

Json openapi_json(const std::string& version) {
  Json paths = Json::object();
  for (const Operation& operation : operations()) {
    const std::string method = lower_case(operation.method);
    std::string id = method;
    for (const char c : operation.path) id += c == '/' || c == '.' ? '_' : c;
    const bool is_json = operation.media == "application/json";
    const Json content{
        {operation.media,
         {{"schema", is_json ? answer_schema(operation.method, operation.path) : Json{{"type", "string"}}}}}};
    const Json error{{"description", "an error"},
                     {"content", {{"application/json", {{"schema", reference("Error")}}}}}};
    Json responses{{"200", {{"description", operation.summary}, {"content", content}}}, {"4XX", error}, {"5XX", error}};
    if (const bool streams = operation.path.ends_with("completions"); streams) {
      responses["200"]["content"]["text/event-stream"] = {{"schema", {{"type", "string"}}}};
    }
    if (operation.path == "/health") responses["503"] = {{"description", "stuck"}, {"content", content}};
    Json description{{"operationId", id}, {"summary", operation.summary}};
    if (operation.method != "POST") {
      for (const Field& field : operation.fields) {
        description["parameters"].push_back(
            {{"name", field.name}, {"in", "query"}, {"description", field.about}, {"schema", field.schema}});
      }
    } else if (!operation.fields.empty()) {
      description["requestBody"] = {{"required", true},
                                    {"content", {{"application/json", {{"schema", body_schema(operation)}}}}}};
    }
    description["responses"] = responses;
    paths[operation.path][method] = description;
  }
  const Json error{{"type", "object"},
                   {"required", {"error"}},
                   {"properties",
                    {{"error",
                      {{"type", "object"},
                       {"required", {"message", "type", "param", "code"}},
                       {"properties",
                        {{"message", {{"type", "string"}}},
                         {"type", {{"type", "string"}}},
                         {"param", {{"type", {"string", "null"}}}},
                         {"code", {{"type", "string"}}}}}}}}}};
  return {
      {"openapi", "3.1.0"},
      {"info",
       {{"title", "coala"},
        {"version", version},
        {"description", "A language model, guided and as it is, and the scores of its heads."}}},
      {"security", {Json::object(), {{"key", Json::array()}}}},
      {"paths", paths},
      {"components",
       {{"schemas", {{"Error", error}}}, {"securitySchemes", {{"key", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace coala
