#pragma once

#include <optional>

#include "coala/evaluate.h"
#include "core/estimate.h"

namespace coala::v1 {

/// Nothing of a figure without an interval.
std::optional<Estimate> estimate_of(const coala::Estimate& figure);

}  // namespace coala::v1
