#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace coala {

/// A value that does not conform to a schema.
struct Violation {
  std::string where;  ///< "messages[0].content"
  std::string found;  ///< the value, shortened
  std::string expected;
};

/// The first place where a value does not conform. Of JSON Schema it knows what our requests need: type, enum, anyOf,
/// minimum, maximum, minLength, minItems, maxItems, maxProperties, items, properties, required, additionalProperties.
/// An optional property that is null counts as absent.
/// @param where  name of the value
std::optional<Violation> find_violation(const nlohmann::json& value, const nlohmann::json& schema,
                                        const std::string& where);

/// What a schema asks for, in words: "a number from 0 to 2".
std::string in_words(const nlohmann::json& schema);

}  // namespace coala
