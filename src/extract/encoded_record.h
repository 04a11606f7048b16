#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/split.h"
#include "extract/feature_extractor.h"

namespace coala {

/// What a row of features says about its record beside the features.
struct RecordRow {
  std::string id;
  std::string subset;  ///< see RecordNotes
  std::int64_t prompt_id = 0;
  std::int32_t length = 0;           ///< of the chosen or the labelled response, in code points
  std::int32_t length_rejected = 0;  ///< pairs only, as the next two
  std::optional<float> weight;
  std::optional<float> margin;
  std::int8_t label = 0;  ///< labelled responses only
};

/// A record without its text: its row, and the tokens of its responses (chosen and rejected, or the one).
struct EncodedRecord {
  RecordRow row;
  std::vector<EncodedResponse> responses;
  FeatureCounts counts;  ///< of tokens and truncation
};

/// A record that has no features and was left out.
struct LeftOutRecord {
  std::uint64_t number = 0;  ///< among all that were read, from 0
  std::string reason;        ///< which names it
};

/// Numbers of the records that have features, in their order.
std::vector<std::size_t> records_with_features(std::size_t records, std::span<const LeftOutRecord> left_out);

/// @throws Error{BadInput} naming the record
EncodedRecord encode_record(const FeatureExtractor& extractor, const Pair& pair);
EncodedRecord encode_record(const FeatureExtractor& extractor, const Labelled& labelled);

/// Unicode code points of valid UTF-8; what feature files call the length of a response.
std::int64_t code_points(std::string_view text);

/// A number for a record's prompt (of its text when it has none, as in split_key()) that does not depend on the other
/// records, so that lines can be added without changing it; >= 0.
std::int64_t prompt_id(const Record& record);

}  // namespace coala
