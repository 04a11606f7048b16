#include "extract/record_features.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

Matrix<float> features_of(FeatureExtractor& extractor, const std::string& id, const Prompt& prompt,
                          std::span<const std::string_view> responses) {
  try {
    return extractor.extract(prompt, responses);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    throw Error(error.code(), fmt::format("record '{}': {}", id, error.what()), error.hint());
  }
}

}  // namespace

std::int64_t code_points(std::string_view text) {
  std::int64_t count = 0;  // of the bytes that do not continue a character
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0u) != 0x80u ? 1 : 0;
  return count;
}

std::int64_t prompt_id(const Record& record) {
  return static_cast<std::int64_t>(hash64(split_key(record)) >> 1);
}

Matrix<float> record_features(FeatureExtractor& extractor, const Pair& pair) {
  const std::array<std::string_view, 2> responses{pair.chosen, pair.rejected};
  return features_of(extractor, pair.id, pair.prompt, responses);
}

Matrix<float> record_features(FeatureExtractor& extractor, const Labelled& labelled) {
  const std::array<std::string_view, 1> responses{labelled.response};
  return features_of(extractor, labelled.id, labelled.prompt, responses);
}

}  // namespace coala
