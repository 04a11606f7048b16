#include "serve/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/utf8.h"

namespace coala {
namespace {

using nlohmann::json;

std::string shortened(const json& value) {
  constexpr std::size_t kLongest = 80;
  std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

bool has_type(const json& value, const std::string& type) {
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "null") return value.is_null();
  if (value.is_number_integer()) return true;
  // 100.0 is a whole number too.
  return value.is_number_float() && std::abs(value.get<double>()) <= 0x1p53 &&
         value.get<double>() == std::trunc(value.get<double>());
}

/// In a type that holds all of them: a large seed has more digits than a double.
long double exactly(const json& number) {
  if (number.is_number_unsigned()) return static_cast<long double>(number.get<std::uint64_t>());
  if (number.is_number_integer()) return static_cast<long double>(number.get<std::int64_t>());
  return number.get<double>();
}

bool within(const json& value, const json& schema) {
  if (value.is_number()) {
    if (schema.contains("minimum") && !(exactly(value) >= exactly(schema["minimum"]))) return false;
    if (schema.contains("maximum") && !(exactly(value) <= exactly(schema["maximum"]))) return false;
  }
  const auto at_least = [&](const char* key, std::size_t size) {
    return !schema.contains(key) || size >= schema[key].get<std::size_t>();
  };
  const auto at_most = [&](const char* key, std::size_t size) {
    return !schema.contains(key) || size <= schema[key].get<std::size_t>();
  };
  if (value.is_string()) return at_least("minLength", value.get_ref<const std::string&>().size());
  if (value.is_array()) return at_least("minItems", value.size()) && at_most("maxItems", value.size());
  if (value.is_object()) return at_most("maxProperties", value.size());
  return true;
}

std::string between(const json& schema, const char* least, const char* most, const std::string& of) {
  if (schema.contains(least) && schema.contains(most)) {
    return fmt::format(" {}from {} to {}", of, schema[least].dump(), schema[most].dump());
  }
  if (schema.contains(least)) return fmt::format(" {}from {}", of, schema[least].dump());
  if (schema.contains(most)) return fmt::format(" {}up to {}", of, schema[most].dump());
  return "";
}

std::optional<Violation> in_object(const json& value, const json& schema, const std::string& where) {
  const auto name = [&](const std::string& key) { return where.empty() ? key : where + "." + key; };
  const json* properties = schema.contains("properties") ? &schema["properties"] : nullptr;
  const json* others = schema.contains("additionalProperties") ? &schema["additionalProperties"] : nullptr;
  // What is there goes before what is not: of a part of another kind (an image) its type is to be said, and not the
  // text that it lacks.
  for (const auto& [key, one] : value.items()) {
    const bool known = properties != nullptr && properties->contains(key);
    const json* expected = known ? &(*properties)[key] : others;
    if (expected == nullptr || (known && one.is_null())) continue;
    if (auto violation = find_violation(one, *expected, name(key))) return violation;
  }
  const json none = json::array();
  for (const json& required : schema.contains("required") ? schema["required"] : none) {
    const std::string key = required.get<std::string>();
    const json& expected = schema["properties"][key];
    if (!value.contains(key)) return Violation{name(key), "missing", in_words(expected)};
    if (!value[key].is_null()) continue;
    if (auto violation = find_violation(value[key], expected, name(key))) return violation;
  }
  return std::nullopt;
}

}  // namespace

std::string in_words(const json& schema) {
  if (schema.contains("enum")) {
    std::vector<std::string> values;
    for (const json& value : schema["enum"]) values.push_back(value.dump());
    return fmt::format("{}", fmt::join(values, " or "));
  }
  if (schema.contains("anyOf")) {
    std::vector<std::string> kinds;
    for (const json& one : schema["anyOf"]) kinds.push_back(in_words(one));
    return fmt::format("{}", fmt::join(kinds, ", or "));
  }
  const std::string type = schema.value("type", "");
  if (type == "number") return "a number" + between(schema, "minimum", "maximum", "");
  if (type == "integer") return "a whole number" + between(schema, "minimum", "maximum", "");
  if (type == "string") return schema.contains("minLength") ? "a text that is not empty" : "a text";
  if (type == "boolean") return "true or false";
  if (type == "null") return "null";
  if (type == "array" && schema.contains("maxItems") && schema["maxItems"] == 0) return "an empty list";
  if (type == "array") {
    return fmt::format("a list{} ({})", between(schema, "minItems", "maxItems", "of "),
                       in_words(schema.value("items", json::object())));
  }
  if (type == "object") {
    if (!schema.contains("properties")) return "an object" + between(schema, "minProperties", "maxProperties", "with ");
    std::vector<std::string> names;
    for (const auto& [key, one] : schema["properties"].items()) names.push_back(key);
    return fmt::format("an object {{{}}}", fmt::join(names, ", "));
  }
  return "a value";
}

std::optional<Violation> find_violation(const json& value, const json& schema, const std::string& where) {
  const auto violation = [&] { return Violation{where, shortened(value), in_words(schema)}; };
  if (schema.contains("enum")) {
    return std::ranges::find(schema["enum"], value) == schema["enum"].end() ? std::optional(violation()) : std::nullopt;
  }
  if (schema.contains("anyOf")) {
    std::optional<Violation> deeper;
    for (const json& one : schema["anyOf"]) {
      std::optional<Violation> found = find_violation(value, one, where);
      if (!found) return std::nullopt;
      if (found->where != where) deeper = std::move(found);  // of the right kind, and wrong inside
    }
    return deeper ? deeper : violation();
  }
  if (schema.contains("type") && !has_type(value, schema["type"])) return violation();
  if (!within(value, schema)) return violation();
  if (value.is_array() && schema.contains("items")) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (auto found = find_violation(value[i], schema["items"], fmt::format("{}[{}]", where, i))) return found;
    }
  }
  if (value.is_object()) return in_object(value, schema, where);
  return std::nullopt;
}

}  // namespace coala
