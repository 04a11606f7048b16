#pragma once

#include <string>

#include "eval/generated_metrics.h"

namespace coala {

/// A table of guided and unguided replies with the judge's figures, and some replies, for people.
std::string generated_summary(const GeneratedMetrics& result);

}  // namespace coala
