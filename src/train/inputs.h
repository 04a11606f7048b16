#pragma once

#include <nlohmann/json_fwd.hpp>

#include "features/feature_set.h"

namespace coala {

/// What a run was trained and evaluated on, as its features tell it: of metrics.json the objects "data" (for people)
/// and "fingerprints" (hashes of everything that decides the features), "num_tokens" and "eval_num_tokens" (of whole
/// feature files). What foreign features do not say is absent.
/// @param held_out  a set of its own, or null: rows of `train` are held out
nlohmann::ordered_json input_metrics(const FeatureSet& train, const FeatureSet* held_out);

}  // namespace coala
