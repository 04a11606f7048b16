#pragma once

#include "coala/fit.h"
#include "head/fit.h"

namespace coala::v1 {

/// The settings as the layers have them.
/// @throws Error{BadUsage} for a value out of range, naming it
coala::FitSettings internal_settings(const FitSettings& settings);

}  // namespace coala::v1
