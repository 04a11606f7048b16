#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/record_store.h"
#include "extract/extract.h"
#include "features/extraction_metrics.h"
#include "features/feature_set.h"

namespace coala {

struct FileExtraction {
  ExtractTotals totals;
  FeatureKind kind = FeatureKind::Pairs;
  std::shared_ptr<const TokenProjection> projection;  ///< that made the sums for a token head; null: there are none
};

/// Extracts records to a feature file; see extract_pairs(). What the data decide is filled in here, and progress is
/// told of (core/progress.h) when there is no on_progress. The last of several shards to finish puts the output
/// together.
FileExtraction extract_file(const Backbone& backbone, const RecordStore& data, const std::filesystem::path& out,
                            ExtractOptions options);

/// Features that are used once and not kept, as for scoring.
struct MemoryExtraction {
  FeatureSet features;
  std::vector<std::string> ids;  ///< of the records, [n]
  ExtractTotals totals;
};

/// The same numbers as those of a float32 feature file of extract_file(), of whole responses only.
MemoryExtraction extract_to_memory(const Backbone& backbone, const RecordStore& data, ExtractOptions options);

/// Warns of records that have no features, naming the first of them.
void warn_of_left_out(const std::vector<LeftOutRecord>& left_out, const RecordStore& data);

ExtractionMetrics extraction_metrics(const ExtractTotals& totals);

}  // namespace coala
