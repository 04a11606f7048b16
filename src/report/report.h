#pragma once

#include <string>
#include <vector>

#include "eval/evaluated_rows.h"
#include "train/run_metrics.h"

namespace coala {

/// A reply to a held-out prompt as the model is, and guided at the head's scale.
struct GuidedExample {
  std::string prompt;
  std::string before;
  std::string after;
};

/// What a report is made of; referred to, not copied.
struct ReportInput {
  const RunMetrics& metrics;
  const EvaluatedRows& rows;
  const Examples& examples;
  std::vector<GuidedExample> guided;  ///< none without a token head and a model
  std::vector<std::string> next;      ///< commands that try and use the head
  std::string command;                ///< what reproduces the run
};

/// A self-contained HTML page (no network, no script) about one training run: docs/report.md.
std::string html_report(const ReportInput& input);

}  // namespace coala
