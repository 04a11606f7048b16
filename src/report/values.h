#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace coala {

using Json = nlohmann::ordered_json;

// Numbers of metrics.json as the report shows them.

/// The key of the accuracy that a run is judged by: of pairs, or of labelled rows.
const char* accuracy_key(const Json& metrics);
bool has_pairs(const Json& metrics);

/// 0.925 as "92.5 %".
std::string percent(double share);
/// The interval of a metric as "90.3 to 94.5" where the factor makes it per cent, else with two decimals; empty when it
/// has none.
std::string interval_text(const Json& metrics, const std::string& key, double factor);

}  // namespace coala
