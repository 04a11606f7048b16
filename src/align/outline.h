#pragma once

#include "extract/extract_file.h"
#include "features/feature_set.h"

namespace coala {

/// What a data file says of its rows before they have features: kind, prompts, labels and weights, with a single zero
/// for each response.
FeatureSet outline_of(const RecordStore& data);

}  // namespace coala
