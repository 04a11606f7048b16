#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "report/method_cost.h"

namespace coala {

struct CostSettings {
  PairTokens tokens{100, 200, 200};
  Tuning tuning = Tuning::Lora;
  double pairs = 0;  ///< of a model that is not the paper's; its data sets have their own
};

/// What one epoch costs in TFLOP: of the paper's models on its data, beside what it publishes.
nlohmann::ordered_json cost_table(const CostSettings& settings);
/// The same of one model.
nlohmann::ordered_json cost_table(const CostSettings& settings, const ModelShape& shape);
/// Either table for people.
std::string cost_text(const nlohmann::ordered_json& table);

}  // namespace coala
