#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace coala {

/// JSON Schema of what is answered with status 200 at an address; of everything for an address without JSON. Fields
/// that are not always there are optional in it.
/// @param path  of an Operation
nlohmann::ordered_json answer_schema(std::string_view method, std::string_view path);

}  // namespace coala
