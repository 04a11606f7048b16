#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace coala {

/// A self-contained HTML page (no network, no script) about one training run.
/// @param metrics  metrics.json
/// @param command  the command that reproduces it
std::string html_report(const nlohmann::ordered_json& metrics, const std::string& command);

}  // namespace coala
