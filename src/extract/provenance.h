#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "extract/encoded_record.h"
#include "extract/feature_extractor.h"
#include "features/feature_set.h"

namespace coala {

using Metadata = std::map<std::string, std::string>;

/// Where the texts come from.
struct DataIdentity {
  std::string name;  ///< for people: the file's name
  std::string hash;  ///< of everything that decides the records: the file's content and how it is read
};

/// What a feature file says of its model.
Metadata describe_backbone(const BackboneIdentity& backbone);

/// The metadata of a feature file that is known before the first record: what decides its numbers, and names. Among
/// it "fingerprint", a hash of all that decides the numbers (names do not).
Metadata describe_features(const FeatureExtractor& extractor, FeatureKind kind, Dtype dtype, const DataIdentity& data);

/// The settings that features of a whole response were made with, from their metadata or that of a head that was
/// trained on them; the defaults where it does not say.
/// @throws Error{BadUsage} for layers that are none
FeatureSettings settings_of(const Metadata& metadata);

/// The same completed by what was counted.
Metadata with_counts(Metadata metadata, const FeatureCounts& counts);

/// The same with the numbers of records that were left out; no entry when there are none.
Metadata with_left_out(Metadata metadata, const std::vector<LeftOutRecord>& left_out);
std::vector<LeftOutRecord> left_out_of(const Metadata& metadata);

/// The counts of a finished file. Zero where the metadata lacks one.
FeatureCounts counts_of(const Metadata& metadata);

/// What differs between two descriptions, for people: "backbone (1f9c0a.. instead of 77ab01..), pooling (...)".
std::string describe_difference(const Metadata& found, const Metadata& expected);

}  // namespace coala
