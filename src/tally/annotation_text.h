#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace coala {

/// What annotation_table() says, for people.
std::string annotation_text(const nlohmann::ordered_json& table);

}  // namespace coala
