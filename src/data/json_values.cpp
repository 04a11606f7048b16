#include "data/json_values.h"

#include <algorithm>
#include <string>

#include "core/utf8.h"

namespace coala {

using nlohmann::json;

bool is_message(const json& value) {
  return value.is_object() &&
         ((value.contains("role") && value.contains("content")) || (value.contains("from") && value.contains("value")));
}

bool is_message_list(const json& value) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), is_message);
}

bool is_empty(const json& value) {
  if (value.is_null()) return true;
  if (value.is_string()) return is_blank(value.get_ref<const std::string&>());
  if (value.is_array() || value.is_object()) return std::all_of(value.begin(), value.end(), is_empty);
  return false;
}

}  // namespace coala
