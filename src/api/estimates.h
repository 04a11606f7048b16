#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "coala/evaluate.h"

namespace coala::v1 {

/// A metric that has an interval; nothing when the metrics do not have it.
std::optional<Estimate> estimate_of(const nlohmann::ordered_json& metrics, const std::string& name);
/// The accuracy of the reward head, whatever its rows are.
Estimate accuracy_of(const nlohmann::ordered_json& metrics);

}  // namespace coala::v1
