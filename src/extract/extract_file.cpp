#include "extract/extract_file.h"

#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/resources.h"
#include "extract/parallel_extractor.h"

namespace coala {
namespace {

DataIdentity identify(const DataFile& data) {
  Hasher hasher;
  hasher.add(hash_file(data.path)).add(shape_name(data.reader.shape));
  hasher.add(data.reader.alternation == Alternation::Code ? "code" : "paper");
  return {data.path.filename().string(), hasher.hex()};
}

/// Reading is cheap beside evaluating, and a progress bar without an end says little.
std::uint64_t count_records(const DataFile& data) {
  RecordReader reader(data.path, data.reader);
  Record record;
  std::uint64_t count = 0;
  while (reader.next(record)) ++count;
  return count;
}

/// Shows progress from the first record on, which tells how many an earlier run had done.
std::function<void(std::uint64_t, std::uint64_t)> progress_bar(const DataFile& data) {
  return [total = count_records(data), bar = std::shared_ptr<Progress>(), seen = std::uint64_t{0}](
             std::uint64_t records, std::uint64_t) mutable {
    if (!bar) {
      seen = records - 1;
      bar = std::make_shared<Progress>("extracting features", total, "records", seen);
    }
    bar->advance(records - seen);
    seen = records;
  };
}

}  // namespace

FileExtraction extract_file(const Backbone& backbone, const DataFile& data, const std::filesystem::path& out,
                            ExtractOptions options) {
  options.data = identify(data);
  if (!options.on_progress) options.on_progress = progress_bar(data);
  RecordReader reader(data.path, data.reader);
  FileExtraction result;
  if (reader.kind() == RecordKind::Pair) {
    result.kind = FeatureKind::Pairs;
    result.totals = extract_pairs(
        backbone, [&reader](Pair& pair) { return reader.next(pair); }, out, options);
  } else {
    result.kind = FeatureKind::Labelled;
    result.totals = extract_labelled(
        backbone, [&reader](Labelled& labelled) { return reader.next(labelled); }, out, options);
  }
  result.left_out = reader.counts();
  return result;
}

MemoryExtraction extract_to_memory(const Backbone& backbone, const DataFile& data, ExtractOptions options) {
  options.data = identify(data);
  if (!options.on_progress) options.on_progress = progress_bar(data);
  const double start = monotonic_s();
  RecordReader reader(data.path, data.reader);
  const FeatureKind kind = reader.kind() == RecordKind::Pair ? FeatureKind::Pairs : FeatureKind::Labelled;
  ParallelExtractor extractor(backbone, options.features, options.threads);
  MemoryExtraction result;
  FeatureSet& set = result.features;
  FeatureCounts& counts = result.totals.counts;
  AlignedVector<float> first;
  AlignedVector<float> second;
  const auto append = [](AlignedVector<float>& to, std::span<const float> row) {
    to.insert(to.end(), row.begin(), row.end());
  };
  const auto add = [&](const auto& record, const FeatureCounts& record_counts) {
    result.ids.push_back(record.id);
    set.prompt_id.push_back(prompt_id(record));
    counts += record_counts;
    options.on_progress(counts.records, counts.unique_tokens);
  };
  if (kind == FeatureKind::Pairs) {
    bool weighted = false;
    bool with_margin = false;
    extractor.extract<Pair>([&reader](Pair& pair) { return reader.next(pair); },
                            [&](const Pair& pair, const Matrix<float>& rows, const FeatureCounts& of_record) {
                              append(first, rows.row(0));
                              append(second, rows.row(1));
                              set.length_chosen.push_back(static_cast<std::int32_t>(code_points(pair.chosen)));
                              set.length_rejected.push_back(static_cast<std::int32_t>(code_points(pair.rejected)));
                              set.weight.push_back(static_cast<float>(pair.weight.value_or(1)));
                              set.margin.push_back(static_cast<float>(pair.margin.value_or(0)));
                              weighted = weighted || pair.weight.has_value();
                              with_margin = with_margin || pair.margin.has_value();
                              add(pair, of_record);
                            });
    if (!weighted) set.weight.clear();
    if (!with_margin) set.margin.clear();
  } else {
    extractor.extract<Labelled>(
        [&reader](Labelled& labelled) { return reader.next(labelled); },
        [&](const Labelled& labelled, const Matrix<float>& rows, const FeatureCounts& of_record) {
          append(first, rows.row(0));
          set.length.push_back(static_cast<std::int32_t>(code_points(labelled.response)));
          set.labels.push_back(static_cast<std::int8_t>(labelled.label));
          add(labelled, of_record);
        });
  }
  const std::size_t n = result.ids.size();
  const std::size_t d = backbone.identity().dimension;
  set.kind = kind;
  set.path = data.path.string();
  set.has_prompt_id = true;
  (kind == FeatureKind::Pairs ? set.chosen : set.features) = Matrix<float>(n, d, std::move(first));
  if (kind == FeatureKind::Pairs) set.rejected = Matrix<float>(n, d, std::move(second));
  set.metadata = with_counts(describe_features(extractor.extractor(), kind, Dtype::F32, options.data), counts);
  result.totals.seconds = monotonic_s() - start;
  result.totals.tokens_per_second = static_cast<double>(counts.unique_tokens) / result.totals.seconds;
  result.totals.flops = evaluation_flops(backbone.identity(), counts);
  return result;
}

nlohmann::ordered_json extract_metrics(const ExtractTotals& totals) {
  return {{"records", totals.counts.records},
          {"tokens", totals.counts.tokens},
          {"unique_tokens", totals.counts.unique_tokens},
          {"truncated_prompts", totals.counts.truncated_prompts},
          {"truncated_responses", totals.counts.truncated_responses},
          {"dropped_prompt_tokens", totals.counts.dropped_prompt_tokens},
          {"dropped_response_tokens", totals.counts.dropped_response_tokens},
          {"up_to_date", totals.up_to_date},
          {"resumed_records", totals.resumed_records},
          {"seconds", totals.seconds},
          {"tokens_per_second", totals.tokens_per_second}};
}

}  // namespace coala
