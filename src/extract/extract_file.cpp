#include "extract/extract_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/resources.h"
#include "data/byte_source.h"
#include "extract/parallel_extractor.h"
#include "extract/token_setup.h"

namespace coala {
namespace {

DataIdentity identify(const DataFile& data) {
  require_rereadable(data.path);
  Hasher hasher;
  hasher.add(hash_file(data.path)).add(shape_name(data.reader.shape));
  hasher.add(data.reader.alternation == Alternation::Code ? "code" : "paper");
  hasher.add(data.reader.rankings == Rankings::Best ? "best" : "all");
  for (const auto& [ours, theirs] : data.reader.columns.renamed) hasher.add(ours).add(theirs);
  for (const std::string& column : data.reader.columns.ignored) hasher.add(column);
  hasher.add(data.reader.columns.label_true);  // not skip_bad: who adds it after an error goes on where that was
  return {data.path.filename().string(), hasher.hex()};
}

/// Names some of the records that were left out.
void warn_of(const std::vector<LeftOutRecord>& left_out, const DataFile& data) {
  constexpr std::size_t kNamed = 5;
  if (left_out.empty()) return;
  log_warning(fmt::format("{} records of {} were left out:", left_out.size(), data.path.string()));
  for (std::size_t i = 0; i < std::min(kNamed, left_out.size()); ++i) {
    const LeftOutRecord& record = left_out[i];
    log_warning(record.reason.empty() ? fmt::format("  the {}. record", record.number + 1) : "  " + record.reason);
  }
  if (left_out.size() > kNamed) log_warning(fmt::format("  and {} more", left_out.size() - kNamed));
}

/// Reading is cheap beside evaluating, and a progress bar without an end says little.
std::uint64_t count_records(const DataFile& data) {
  RecordReader reader(data.path, data.reader);
  Record record;
  std::uint64_t count = 0;
  while (reader.next(record)) ++count;
  return count;
}

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

/// Extracts everything to a feature set.
template <class Item>
void collect(ParallelExtractor& extractor, const std::function<bool(Item&)>& source, const ExtractOptions& options,
             MemoryExtraction& result) {
  constexpr bool kPairs = std::is_same_v<Item, Pair>;
  const std::size_t d = extractor.extractor().dimension();
  FeatureSet& set = result.features;
  AlignedVector<float> first;
  AlignedVector<float> second;
  bool weighted = false;
  bool with_margin = false;
  WindowReader<Item> reader(source, extractor.extractor(), extractor.pool(), 0, options.skip_bad);
  std::uint64_t done = 0;
  for (Window window; reader.next(window);) {
    MemoryBlocks blocks;
    extractor.evaluate(window, pending_blocks(window, blocks, nullptr, {}), blocks, nullptr, [&](std::uint64_t tokens) {
      done += tokens;
      options.on_progress({done, 0, result.totals.counts.evaluated_tokens + window.counts.evaluated_tokens});
    });
    const auto append = [&](AlignedVector<float>& to, std::size_t response) {
      const Window::Place place = window.places[response];
      to.resize(to.size() + d);
      blocks.read({window.index, place.block}, place.row, std::span(to).last(d));
    };
    for (std::size_t i = 0; i < window.rows.size(); ++i) {
      const RecordRow& row = window.rows[i];
      result.ids.push_back(row.id);
      set.prompt_id.push_back(row.prompt_id);
      append(first, i * window.responses_per_record);
      if constexpr (kPairs) {
        append(second, 2 * i + 1);
        set.length_chosen.push_back(row.length);
        set.length_rejected.push_back(row.length_rejected);
        set.weight.push_back(row.weight.value_or(1));
        set.margin.push_back(row.margin.value_or(0));
        weighted = weighted || row.weight.has_value();
        with_margin = with_margin || row.margin.has_value();
      } else {
        set.length.push_back(row.length);
        set.labels.push_back(row.label);
      }
    }
    result.totals.counts += window.counts;
  }
  result.totals.left_out = reader.left_out();
  if (!weighted) set.weight.clear();
  if (!with_margin) set.margin.clear();
  const std::size_t n = result.ids.size();
  (kPairs ? set.chosen : set.features) = Matrix<float>(n, d, std::move(first));
  if (kPairs) set.rejected = Matrix<float>(n, d, std::move(second));
}

FileExtraction extract_once(const Backbone& backbone, const DataFile& data, const std::filesystem::path& out,
                            const ExtractOptions& options) {
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
  for (const std::string& example : result.left_out.bad_examples) log_warning("left out: " + example);
  return result;
}

}  // namespace

FileExtraction extract_file(const Backbone& backbone, const DataFile& data, const std::filesystem::path& out,
                            ExtractOptions options) {
  options.data = identify(data);
  if (!options.on_progress) {
    options.on_progress = progress_bar();
    options.records_expected = count_records(data);
  }
  if (options.token_rank > 0 && !options.projection) {
    TokenSetup setup = set_up_tokens(backbone, data, out, options);
    options.projection = std::move(setup.projection);
    options.kept_states = std::move(setup.states);
  }
  FileExtraction result = extract_once(backbone, data, out, options);
  warn_of(result.totals.left_out, data);
  result.projection = options.projection;
  if (options.shard.count == 1 || result.totals.up_to_date || !result.totals.unfinished_shards.empty()) return result;
  options.shard = {};
  try {
    const ExtractTotals shard = result.totals;
    result = extract_once(backbone, data, out, options);
    warn_of(result.totals.left_out, data);
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

MemoryExtraction extract_to_memory(const Backbone& backbone, const DataFile& data, ExtractOptions options) {
  options.data = identify(data);
  if (!options.on_progress) {
    options.on_progress = progress_bar();
    options.records_expected = count_records(data);
  }
  options.features.prefix_every_tokens = 0;
  const double start = monotonic_s();
  RecordReader reader(data.path, data.reader);
  const FeatureKind kind = reader.kind() == RecordKind::Pair ? FeatureKind::Pairs : FeatureKind::Labelled;
  ParallelExtractor extractor(backbone, options.features, options.threads);
  MemoryExtraction result;
  if (kind == FeatureKind::Pairs) {
    collect<Pair>(
        extractor, [&reader](Pair& pair) { return reader.next(pair); }, options, result);
  } else {
    collect<Labelled>(
        extractor, [&reader](Labelled& labelled) { return reader.next(labelled); }, options, result);
  }
  warn_of(result.totals.left_out, data);
  const FeatureCounts& counts = result.totals.counts;
  result.features.kind = kind;
  result.features.path = data.path.string();
  result.features.has_prompt_id = true;
  result.features.metadata =
      with_counts(describe_features(extractor.extractor(), kind, Dtype::F32, options.data), counts);
  result.totals.seconds = monotonic_s() - start;
  result.totals.evaluated_tokens = counts.evaluated_tokens;
  result.totals.tokens_per_second = static_cast<double>(counts.evaluated_tokens) / result.totals.seconds;
  result.totals.flops = evaluation_flops(backbone.identity(), counts);
  return result;
}

nlohmann::ordered_json extract_metrics(const ExtractTotals& totals) {
  return {{"records", totals.counts.records},
          {"tokens", totals.counts.tokens},
          {"unique_tokens", totals.counts.unique_tokens},
          {"evaluated_tokens", totals.counts.evaluated_tokens},
          {"truncated_prompts", totals.counts.truncated_prompts},
          {"truncated_responses", totals.counts.truncated_responses},
          {"dropped_prompt_tokens", totals.counts.dropped_prompt_tokens},
          {"dropped_response_tokens", totals.counts.dropped_response_tokens},
          {"marked_records", totals.counts.marked_records},
          {"up_to_date", totals.up_to_date},
          {"resumed_tokens", totals.resumed_tokens},
          {"seconds", totals.seconds},
          {"tokens_per_second", totals.tokens_per_second}};
}

}  // namespace coala
