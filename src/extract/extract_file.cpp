#include "extract/extract_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "core/progress.h"
#include "core/resources.h"
#include "extract/parallel_extractor.h"
#include "extract/row_sink.h"
#include "extract/token_setup.h"

namespace coala {
namespace {

std::function<void(const ExtractProgress&)> progress_bar() {
  return [bar = std::shared_ptr<Progress>(), told = ExtractProgress()](const ExtractProgress& now) mutable {
    if (!bar) bar = std::make_shared<Progress>("extracting features", now.expected, "tokens");
    bar->set_total(std::max(now.expected, now.tokens));
    const std::uint64_t at_once = now.at_once - told.at_once;
    const std::uint64_t evaluated = now.tokens - told.tokens - at_once;
    if (at_once > 0) bar->skip(at_once);
    if (evaluated > 0) bar->advance(evaluated);
    told = now;
  };
}

/// Extracts everything to memory.
template <class Item>
void collect(ParallelExtractor& extractor, const RecordStore& data, const ExtractOptions& options,
             MemoryExtraction& result) {
  constexpr FeatureKind kKind = std::is_same_v<Item, Pair> ? FeatureKind::Pairs : FeatureKind::Labelled;
  const std::size_t d = extractor.extractor().dimension();
  MemoryRows rows(kKind, d);
  RecordCursor records(data);
  WindowReader<Item> reader([&records](Item& item) { return records.next(item); }, extractor.extractor(),
                            extractor.pool(), 0, options.skip_bad);
  std::uint64_t done = 0;
  for (Window window; reader.next(window);) {
    MemoryBlocks blocks;
    extractor.evaluate(window, pending_blocks(window, blocks, nullptr, {}), blocks, nullptr, [&](std::uint64_t tokens) {
      done += tokens;
      options.on_progress({done, 0, result.totals.counts.evaluated_tokens + window.counts.evaluated_tokens});
    });
    add_rows(window, blocks, {d, 0}, 0, rows);
    result.totals.counts += window.counts;
  }
  result.totals.left_out = reader.left_out();
  result.ids = std::move(rows.ids());
  result.features = rows.take();
}

FileExtraction extract_once(const Backbone& backbone, const RecordStore& data, const std::filesystem::path& out,
                            const ExtractOptions& options) {
  RecordCursor records(data);
  FileExtraction result;
  if (data.kind() == RecordKind::Pair) {
    result.kind = FeatureKind::Pairs;
    result.totals = extract_pairs(
        backbone, [&records](Pair& pair) { return records.next(pair); }, out, options);
  } else {
    result.kind = FeatureKind::Labelled;
    result.totals = extract_labelled(
        backbone, [&records](Labelled& labelled) { return records.next(labelled); }, out, options);
  }
  return result;
}

/// Fills in what the data decide, and progress where nobody else wants it.
void complete(ExtractOptions& options, const RecordStore& data) {
  options.data = {std::filesystem::path(data.name()).filename().string(), data.hash()};
  options.records_expected = data.size();
  if (!options.on_progress) options.on_progress = progress_bar();
}

}  // namespace

void warn_of_left_out(const std::vector<LeftOutRecord>& left_out, const RecordStore& data) {
  constexpr std::size_t kNamed = 5;
  if (left_out.empty()) return;
  log_warning(fmt::format("{} records of {} were left out:", left_out.size(), data.name()));
  for (std::size_t i = 0; i < std::min(kNamed, left_out.size()); ++i) {
    const LeftOutRecord& record = left_out[i];
    log_warning(record.reason.empty() ? fmt::format("  the {}. record", record.number + 1) : "  " + record.reason);
  }
  if (left_out.size() > kNamed) log_warning(fmt::format("  and {} more", left_out.size() - kNamed));
}

FileExtraction extract_file(const Backbone& backbone, const RecordStore& data, const std::filesystem::path& out,
                            ExtractOptions options) {
  complete(options, data);
  if (options.token_rank > 0 && !options.projection) {
    TokenSetup setup = set_up_tokens(backbone, data, out, options);
    options.projection = std::move(setup.projection);
    options.kept_states = std::move(setup.states);
  }
  FileExtraction result = extract_once(backbone, data, out, options);
  warn_of_left_out(result.totals.left_out, data);
  result.projection = options.projection;
  if (options.shard.count == 1 || result.totals.up_to_date || !result.totals.unfinished_shards.empty()) return result;
  options.shard = {};
  try {
    const ExtractTotals shard = result.totals;
    result = extract_once(backbone, data, out, options);
    warn_of_left_out(result.totals.left_out, data);
    result.totals.seconds += shard.seconds;
    result.totals.evaluated_tokens += shard.evaluated_tokens;
    result.totals.resumed_tokens -= shard.evaluated_tokens;
    result.totals.tokens_per_second = shard.tokens_per_second;
    result.projection = options.projection;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadUsage) throw;  // another shard ended at the same moment and does it
  }
  return result;
}

MemoryExtraction extract_to_memory(const Backbone& backbone, const RecordStore& data, ExtractOptions options) {
  complete(options, data);
  options.features.prefix_every_tokens = 0;
  const double start = monotonic_s();
  ParallelExtractor extractor(backbone, options.features, options.threads);
  MemoryExtraction result;
  if (data.kind() == RecordKind::Pair) {
    collect<Pair>(extractor, data, options, result);
  } else {
    collect<Labelled>(extractor, data, options, result);
  }
  warn_of_left_out(result.totals.left_out, data);
  const FeatureCounts& counts = result.totals.counts;
  result.features.path = data.name();
  result.features.metadata =
      with_counts(describe_features(extractor.extractor(), result.features.kind, Dtype::F32, options.data), counts);
  result.totals.seconds = monotonic_s() - start;
  result.totals.evaluated_tokens = counts.evaluated_tokens;
  result.totals.tokens_per_second = static_cast<double>(counts.evaluated_tokens) / result.totals.seconds;
  result.totals.flops = evaluation_flops(backbone.identity(), counts);
  return result;
}

ExtractionMetrics extraction_metrics(const ExtractTotals& totals) {
  ExtractionMetrics metrics;
  metrics.records = totals.counts.records;
  metrics.tokens = totals.counts.tokens;
  metrics.unique_tokens = totals.counts.unique_tokens;
  metrics.evaluated_tokens = totals.counts.evaluated_tokens;
  metrics.truncated_prompts = totals.counts.truncated_prompts;
  metrics.truncated_responses = totals.counts.truncated_responses;
  metrics.dropped_prompt_tokens = totals.counts.dropped_prompt_tokens;
  metrics.dropped_response_tokens = totals.counts.dropped_response_tokens;
  metrics.marked_records = totals.counts.marked_records;
  metrics.up_to_date = totals.up_to_date;
  metrics.resumed_tokens = totals.resumed_tokens;
  metrics.seconds = totals.seconds;
  metrics.tokens_per_second = totals.tokens_per_second;
  return metrics;
}

}  // namespace coala
