#pragma once

#include "coala/fit.h"
#include "head/fit.h"

namespace coala::v1 {

/// The settings as the layers have them.
/// @throws Error{BadUsage} for a value out of range, naming it
coala::FitSettings internal_settings(const FitSettings& settings);
/// fit() with all that the layers can be told. Its one seed is `settings.seed`.
Fit fit(const Features& features, coala::FitSettings settings, const Context& context);

}  // namespace coala::v1
