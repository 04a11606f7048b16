#include "extract/extract_file.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "core/resources.h"
#include "extract/record_features.h"

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
  FeatureExtractor extractor(backbone, options.features, options.threads);
  MemoryExtraction result;
  FeatureSet& set = result.features;
  std::vector<float> first;
  std::vector<float> second;
  const auto append = [](std::vector<float>& to, std::span<const float> row) {
    to.insert(to.end(), row.begin(), row.end());
  };
  Record record;
  while (reader.next(record)) {
    throw_if_interrupted();
    if (const auto* pair = std::get_if<Pair>(&record)) {
      const Matrix<float> rows = record_features(extractor, *pair);
      append(first, rows.row(0));
      append(second, rows.row(1));
      result.ids.push_back(pair->id);
      set.prompt_id.push_back(prompt_id(*pair));
      set.length_chosen.push_back(static_cast<std::int32_t>(code_points(pair->chosen)));
      set.length_rejected.push_back(static_cast<std::int32_t>(code_points(pair->rejected)));
      set.weight.push_back(static_cast<float>(pair->weight.value_or(1)));
      set.margin.push_back(static_cast<float>(pair->margin.value_or(0)));
    } else {
      const auto& labelled = std::get<Labelled>(record);
      append(first, record_features(extractor, labelled).row(0));
      result.ids.push_back(labelled.id);
      set.prompt_id.push_back(prompt_id(labelled));
      set.length.push_back(static_cast<std::int32_t>(code_points(labelled.response)));
      set.labels.push_back(static_cast<std::int8_t>(labelled.label));
    }
    options.on_progress(extractor.counts().records, extractor.counts().unique_tokens);
  }
  const std::size_t n = result.ids.size();
  const std::size_t d = backbone.identity().dimension;
  set.kind = kind;
  set.path = data.path.string();
  set.has_prompt_id = true;
  if (kind == FeatureKind::Pairs) {
    set.chosen = Matrix<float>(n, d, std::move(first));
    set.rejected = Matrix<float>(n, d, std::move(second));
    // As in a file: a column of nothing but defaults is no column.
    if (std::all_of(set.weight.begin(), set.weight.end(), [](float w) { return w == 1; })) set.weight.clear();
    if (std::all_of(set.margin.begin(), set.margin.end(), [](float m) { return m == 0; })) set.margin.clear();
  } else {
    set.features = Matrix<float>(n, d, std::move(first));
  }
  set.metadata = with_counts(describe_features(extractor, kind, Dtype::F32, options.data), extractor.counts());
  result.totals.counts = extractor.counts();
  result.totals.seconds = monotonic_s() - start;
  result.totals.tokens_per_second = static_cast<double>(extractor.counts().unique_tokens) / result.totals.seconds;
  result.totals.flops = evaluation_flops(backbone.identity(), extractor.counts());
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
