#pragma once

#include <string>

namespace coala {

/// Every key of metrics.json and of what `train`, `eval` and their like print as JSON, as Markdown: docs/metrics.md.
std::string markdown_metrics();

}  // namespace coala
