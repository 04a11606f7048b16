#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "head/token_fit.h"

namespace coala {

/// What is known of a token head before it guides anything: its fit, and how often it (and the head without context,
/// its baseline) puts the better response of held-out pairs first, or the right label on held-out responses.
/// @param held_out  null, or a set without token sums in the same coordinates: the accuracies are those of the
///   selection's folds, and have no interval
nlohmann::ordered_json token_metrics(const TokenFit& fit, const FeatureSet& train, const FeatureSet* held_out);

}  // namespace coala
