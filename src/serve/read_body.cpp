#include <fmt/format.h>

#include <algorithm>

#include "core/utf8.h"
#include "data/nesting_scanner.h"
#include "serve/operations.h"
#include "serve/request_error.h"
#include "serve/schema.h"

namespace coala {
namespace {

using nlohmann::json;

json parsed(const std::string& text) {
  const auto bad = [](const char* what) { return RequestError(400, "invalid_json", what); };
  if (find_invalid_utf8(text) != std::string::npos) throw bad("the request is not UTF-8");
  // What copies, prints or destroys a value calls itself for each level of it.
  if (NestingScanner().scan(text).state == NestingScanner::State::TooDeep) {
    throw bad("the request is nested too deeply");
  }
  json body = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) throw bad("the request is no JSON object");
  return body;
}

/// Keys of a value's objects that its schema does not know.
void find_unknown(const json& value, const json& schema, const std::string& where, std::vector<std::string>& unknown) {
  if (schema.contains("anyOf")) {
    for (const json& one : schema["anyOf"]) {
      if (!find_violation(value, one, where)) return find_unknown(value, one, where, unknown);
    }
  } else if (value.is_array() && schema.contains("items")) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      find_unknown(value[i], schema["items"], fmt::format("{}[{}]", where, i), unknown);
    }
  } else if (value.is_object() && schema.contains("properties")) {
    for (const auto& [key, one] : value.items()) {
      const std::string name = fmt::format("{}.{}", where, key);
      if (schema["properties"].contains(key)) {
        find_unknown(one, schema["properties"][key], name, unknown);
      } else if (!one.is_null()) {
        unknown.push_back(name);
      }
    }
  }
}

}  // namespace

RequestBody read_body(const std::string& text, const Operation& operation, bool strict) {
  RequestBody body{parsed(text), {}};
  for (const Field& known : operation.fields) {
    const json* value = field(body.json, known.name.c_str());
    if (value == nullptr) {
      if (!known.required) continue;
      throw RequestError(400, "missing_required_parameter", fmt::format("\"{}\" is missing", known.name), known.name,
                         "send " + in_words(known.schema));
    }
    const std::optional<Violation> violation = find_violation(*value, known.schema, known.name);
    if (!violation) {
      find_unknown(*value, known.schema, known.name, body.unknown);
      continue;
    }
    const bool neutral = known.standing == Standing::Neutral;
    throw RequestError(
        400, neutral ? "unsupported_parameter" : "invalid_value",
        neutral ? fmt::format("\"{}\" is not possible here at {}", violation->where, violation->found)
                : fmt::format("\"{}\" is {}; expected {}", violation->where, violation->found, violation->expected),
        neutral ? known.name : violation->where,
        neutral ? "leave it out, or send " + in_words(known.schema) : std::string());
  }
  for (const auto& [key, value] : body.json.items()) {
    if (std::ranges::find(operation.fields, key, &Field::name) == operation.fields.end()) body.unknown.push_back(key);
  }
  if (strict && !body.unknown.empty()) {
    throw RequestError(400, "unknown_parameter", fmt::format("\"{}\" is not known", body.unknown.front()),
                       body.unknown.front(), "leave it out");
  }
  return body;
}

}  // namespace coala
