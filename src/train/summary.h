#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace coala {

/// The numbers of metrics.json that a person wants to see first, as a few lines of text.
std::string summary(const nlohmann::ordered_json& metrics);

}  // namespace coala
