#pragma once

#include "report/page.h"
#include "report/report.h"
#include "train/run_metrics.h"

namespace coala {

// The sections of the report, in its order. Each leaves out what the metrics do not have, and says so where a reader
// would look for it.

void verdict_section(Page& page, const ReportInput& input);    ///< in words, replies before and after, what to do next
void overview(Page& page, const RunMetrics& metrics);          ///< headline figures
void inputs_section(Page& page, const RunMetrics& metrics);    ///< what was trained on what
void accuracy_section(Page& page, const RunMetrics& metrics);  ///< beside its baselines
void seeds_section(Page& page, const RunMetrics& metrics);     ///< only of a run over several seeds
void token_section(Page& page, const RunMetrics& metrics);
void margin_section(Page& page, const RunMetrics& metrics, const EvaluatedRows& rows);
void calibration_section(Page& page, const RunMetrics& metrics);
void length_section(Page& page, const RunMetrics& metrics, const EvaluatedRows& rows);
void subset_section(Page& page, const RunMetrics& metrics);
void selection_section(Page& page, const RunMetrics& metrics);  ///< Phase I: path and certificate
void phase_two_section(Page& page, const RunMetrics& metrics);
void checks_section(Page& page, const RunMetrics& metrics);
void cost_section(Page& page, const RunMetrics& metrics);
void examples_section(Page& page, const Examples& examples);

}  // namespace coala
