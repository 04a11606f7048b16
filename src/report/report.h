#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "eval/evaluated_rows.h"

namespace coala {

/// What a report is made of; referred to, not copied.
struct ReportInput {
  const nlohmann::ordered_json& metrics;  ///< metrics.json
  const EvaluatedRows& rows;
  const Examples& examples;
  std::string command;  ///< what reproduces the run
};

/// A self-contained HTML page (no network, no script) about one training run: docs/report.md.
std::string html_report(const ReportInput& input);

}  // namespace coala
