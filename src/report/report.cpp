#include "report/report.h"

#include "report/page.h"
#include "report/sections.h"

namespace coala {

std::string html_report(const ReportInput& input) {
  const RunMetrics& metrics = input.metrics;
  Page page("Did it work?");
  verdict_section(page, input);
  page.fold("All figures, checks and examples");
  overview(page, metrics);
  inputs_section(page, metrics);
  accuracy_section(page, metrics);
  seeds_section(page, metrics);
  token_section(page, metrics);
  margin_section(page, metrics, input.rows);
  calibration_section(page, metrics);
  length_section(page, metrics, input.rows);
  subset_section(page, metrics);
  selection_section(page, metrics);
  phase_two_section(page, metrics);
  checks_section(page, metrics);
  cost_section(page, metrics);
  examples_section(page, input.examples);
  page.section("reproduce", "How to reproduce it");
  page.code(input.command);
  page.note("Run in the folder of the first run, with the files whose fingerprints are above.");
  return page.finish();
}

}  // namespace coala
