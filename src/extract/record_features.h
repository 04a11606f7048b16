#pragma once

#include <cstdint>
#include <string_view>

#include "core/matrix.h"
#include "data/split.h"
#include "extract/feature_extractor.h"

namespace coala {

/// Unicode code points of valid UTF-8; what feature files call the length of a response.
std::int64_t code_points(std::string_view text);

/// A number for a record's prompt (of its text when it has none, as in split_key()) that does not depend on the other
/// records, so that lines can be added without changing it; >= 0.
std::int64_t prompt_id(const Record& record);

/// Features of a record's responses: chosen and rejected, [2, d], or the one response, [1, d].
/// @throws Error{BadInput} naming the record
Matrix<float> record_features(FeatureExtractor& extractor, const Pair& pair);
Matrix<float> record_features(FeatureExtractor& extractor, const Labelled& labelled);

}  // namespace coala
