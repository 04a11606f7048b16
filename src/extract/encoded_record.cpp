#include "extract/encoded_record.h"

#include <fmt/format.h>

#include <array>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

template <class Item>
EncodedRecord encode(const FeatureExtractor& extractor, const Item& record,
                     std::span<const std::string_view> responses) {
  EncodedRecord encoded;
  try {
    encoded.responses = extractor.encode(record.prompt, responses, encoded.counts);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    throw Error(error.code(), fmt::format("record '{}': {}", record.id, error.what()), error.hint());
  }
  encoded.row.id = record.id;
  encoded.row.subset = record.subset;
  encoded.row.prompt_id = prompt_id(record);
  encoded.row.length = static_cast<std::int32_t>(code_points(responses[0]));
  return encoded;
}

}  // namespace

std::int64_t code_points(std::string_view text) {
  std::int64_t count = 0;  // of the bytes that do not continue a character
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0u) != 0x80u ? 1 : 0;
  return count;
}

std::vector<std::size_t> records_with_features(std::size_t records, std::span<const LeftOutRecord> left_out) {
  std::vector<std::size_t> numbers;
  auto bad = left_out.begin();
  for (std::size_t i = 0; i < records; ++i) {
    if (bad != left_out.end() && bad->number == i) {
      ++bad;
    } else {
      numbers.push_back(i);
    }
  }
  return numbers;
}

std::int64_t prompt_id(const Record& record) {
  return static_cast<std::int64_t>(hash64(split_key(record)) >> 1);
}

EncodedRecord encode_record(const FeatureExtractor& extractor, const Pair& pair) {
  const std::array<std::string_view, 2> responses{pair.chosen, pair.rejected};
  EncodedRecord encoded = encode(extractor, pair, responses);
  encoded.row.length_rejected = static_cast<std::int32_t>(code_points(pair.rejected));
  if (pair.weight) encoded.row.weight = static_cast<float>(*pair.weight);
  if (pair.margin) encoded.row.margin = static_cast<float>(*pair.margin);
  return encoded;
}

EncodedRecord encode_record(const FeatureExtractor& extractor, const Labelled& labelled) {
  const std::array<std::string_view, 1> responses{labelled.response};
  EncodedRecord encoded = encode(extractor, labelled, responses);
  encoded.row.label = static_cast<std::int8_t>(labelled.label);
  return encoded;
}

}  // namespace coala
