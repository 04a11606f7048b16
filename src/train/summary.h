#pragma once

#include <string>

#include "train/run_metrics.h"

namespace coala {

/// The numbers that a person wants to see first, as a few lines of text.
std::string summary(const RunMetrics& metrics);
std::string summary(const EvaluationMetrics& metrics);

}  // namespace coala
