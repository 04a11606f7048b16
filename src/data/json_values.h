#pragma once

#include <nlohmann/json.hpp>

namespace coala {

// What a value of a data file is.

/// A message: {"role", "content"} or {"from", "value"}.
bool is_message(const nlohmann::json& value);
bool is_message_list(const nlohmann::json& value);
/// Whether nothing is in a value, however deep: null, "", [], {}, and lists and objects of these.
bool is_empty(const nlohmann::json& value);

}  // namespace coala
