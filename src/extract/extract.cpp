#include "extract/extract.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/error.h"
#include "core/resources.h"
#include "extract/parallel_extractor.h"
#include "extract/part_store.h"
#include "extract/row_sink.h"
#include "extract/token_setup.h"
#include "features/feature_index.h"

namespace coala {
namespace {

FeatureWidths widths_of(const FeatureExtractor& extractor) {
  return {extractor.pooled_dimension(), extractor.dimension() - extractor.pooled_dimension()};
}

/// Estimates all tokens from the windows that were planned.
class ProgressEstimate {
 public:
  explicit ProgressEstimate(const ExtractOptions& options) : options_(options) {}
  /// @param at_once  tokens of it that need no evaluation
  void add_window(const Window& window, std::uint64_t at_once) {
    records_ += window.rows.size();
    planned_ += window.counts.evaluated_tokens;
    at_once_ += at_once;
    add_tokens(at_once);
  }
  void add_tokens(std::uint64_t tokens) {
    done_ += tokens;
    if (!options_.on_progress) return;
    const double all = static_cast<double>(std::max(records_, options_.records_expected));
    const auto expected = static_cast<double>(planned_) * all / static_cast<double>(records_);
    options_.on_progress({done_, at_once_, static_cast<std::uint64_t>(expected / options_.shard.count)});
  }

 private:
  const ExtractOptions& options_;
  std::uint64_t records_ = 0, planned_ = 0, done_ = 0, at_once_ = 0;
};

std::filesystem::path shard_path(const std::filesystem::path& out, const Shard& shard) {
  std::filesystem::path path = out;
  path += fmt::format(".shard-{}-of-{}", shard.index + 1, shard.count);
  return path;
}

/// Files beside the output whose name goes on like this.
std::vector<std::filesystem::path> find_beside(const std::filesystem::path& out, const char* suffix) {
  const std::string prefix = out.filename().string() + suffix;
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator(out.has_parent_path() ? out.parent_path() : ".", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// Logs that shards left beside the output, of whatever number of shards.
std::vector<std::filesystem::path> find_shards(const std::filesystem::path& out) {
  std::vector<std::filesystem::path> shards = find_beside(out, ".shard-");
  std::erase_if(shards, [](const std::filesystem::path& path) { return path.extension() == ".lock"; });
  return shards;
}

/// Removes what a finished output was made from.
void remove_unfinished(const std::filesystem::path& out) {
  PartStore::remove_folder(out);
  std::error_code ignored;
  for (const auto& path : find_shards(out)) std::filesystem::remove(path, ignored);
  for (const auto& path : find_beside(out, kTokenStates)) std::filesystem::remove(path, ignored);
  std::filesystem::remove(token_basis_path(out), ignored);
}

/// What an output says of itself.
struct Found {
  Metadata metadata;
  std::uint64_t max_file_bytes = 0;
};

/// @throws Error{CorruptFile, BadInput} when it is neither a feature file nor a store of them
Found read_description(const std::filesystem::path& out) {
  if (!std::filesystem::is_directory(out)) return {SafetensorsFile(out).metadata(), 0};
  FeatureIndex index = read_feature_index(out);
  return {std::move(index.metadata), index.max_file_bytes};
}

std::string files_text(std::uint64_t max_file_bytes) {
  return max_file_bytes == 0 ? std::string("one file") : fmt::format("files of at most {} bytes", max_file_bytes);
}

/// Whether `out` holds these features already. @throws Error{Mismatch} when it holds others and may not be replaced
bool is_up_to_date(const std::filesystem::path& out, const Metadata& description, const ExtractOptions& options,
                   ExtractTotals& totals) {
  if (!std::filesystem::exists(out)) return false;
  const std::string hint = "remove it, or choose another --out";
  Found found;
  try {
    found = read_description(out);
  } catch (const Error&) {
    // Only a file of our own may be replaced: a folder without an index is somebody's.
    if (options.replace && !std::filesystem::is_directory(out)) return false;
    throw Error(ErrorCode::Mismatch, fmt::format("{} is there already and holds no features", out.string()), hint);
  }
  const auto fingerprint = found.metadata.find("fingerprint");
  const bool same = fingerprint != found.metadata.end() && fingerprint->second == description.at("fingerprint");
  if (same && found.max_file_bytes == options.max_file_bytes) {
    totals.counts = counts_of(found.metadata);
    totals.left_out = left_out_of(found.metadata);
    return true;
  }
  if (options.replace) return false;
  throw Error(ErrorCode::Mismatch,
              fingerprint == found.metadata.end()
                  ? fmt::format("{} is there already and was not written by `coala extract`", out.string())
                  : fmt::format("{} is there already and was made {}", out.string(),
                                same ? fmt::format("as {}, not {}", files_text(found.max_file_bytes),
                                                   files_text(options.max_file_bytes))
                                     : "from something else: " + describe_difference(found.metadata, description)),
              hint);
}

/// @param replace  one that was made from something else is removed instead of refused
std::unique_ptr<BlockLog> open_log(const std::filesystem::path& path, const Metadata& description,
                                   std::size_t dimension, BlockLog::Access access, bool replace) {
  try {
    return std::make_unique<BlockLog>(path, description, dimension, access);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Mismatch || !replace) throw;
  }
  std::filesystem::remove(path);
  return std::make_unique<BlockLog>(path, description, dimension, BlockLog::Access::Append);
}

/// What all of a run's steps need.
template <class Item>
struct Job {
  const Backbone& backbone;
  FeatureKind kind;
  const std::function<bool(Item&)>& source;
  const std::filesystem::path& out;
  const ExtractOptions& options;
  ParallelExtractor& extractor;
  const Metadata& description;
};

template <class Item>
void evaluate_window(const Job<Item>& job, const Window& window, BlockStore& store, ProgressEstimate& progress,
                     ExtractTotals& totals) {
  const PendingBlocks pending = pending_blocks(window, store, job.options.kept_states.get(), job.options.shard);
  const auto tokens_of = [&window](std::span<const std::uint32_t> blocks) {
    std::uint64_t tokens = 0;
    for (const std::uint32_t b : blocks) tokens += window.plan.blocks[b].evaluated_tokens;
    return tokens;
  };
  std::uint64_t planned = 0;
  for (std::uint32_t b = job.options.shard.index; b < window.plan.blocks.size(); b += job.options.shard.count) {
    planned += window.plan.blocks[b].evaluated_tokens;
  }
  const std::uint64_t kept = tokens_of(pending.kept);
  const std::uint64_t resumed = planned - kept - tokens_of(pending.unknown);
  totals.resumed_tokens += resumed;
  progress.add_window(window, resumed + (pending.unknown.empty() ? 0 : kept));
  job.extractor.evaluate(window, pending, store, job.options.kept_states.get(),
                         [&progress](std::uint64_t tokens) { progress.add_tokens(tokens); });
  totals.evaluated_tokens += planned;
}

/// Evaluates what no log has, and writes the output.
template <class Item>
void make_output(const Job<Item>& job, ExtractTotals& totals) {
  const std::size_t dimension = job.extractor.extractor().dimension();
  PartStore::create_folder(job.out);
  const bool replace = job.options.replace;
  const auto log = open_log(PartStore::folder(job.out) / PartStore::kBlocks, job.description, dimension,
                            BlockLog::Access::Append, replace);
  const std::vector<std::filesystem::path> shards = find_shards(job.out);
  std::vector<std::unique_ptr<BlockLog>> others;
  for (const auto& path : shards) {
    others.push_back(open_log(path, job.description, dimension, BlockLog::Access::Read, replace));
  }
  BlockLogs store(*log, std::move(others));
  const FeatureWidths widths = widths_of(job.extractor.extractor());
  PartStore parts(job.out, feature_columns(job.kind, job.options.dtype, widths),
                  job.options.projection ? tensors_of(job.options.projection->basis) : std::vector<FileTensor>());
  FileRows rows(job.kind, job.options.dtype, widths, parts);
  WindowReader<Item> reader(job.source, job.extractor.extractor(), job.extractor.pool(), 0, job.options.skip_bad);
  ProgressEstimate progress(job.options);
  for (Window window; reader.next(window);) {
    evaluate_window(job, window, store, progress, totals);
    add_rows(window, store, widths, job.options.features.prefix_every_tokens, rows);
    rows.flush();
    totals.counts += window.counts;
  }
  if (parts.rows() == 0) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no records", job.options.data.name), "check --data");
  }
  totals.left_out = reader.left_out();
  parts.merge(with_left_out(with_counts(job.description, totals.counts), totals.left_out), job.options.max_file_bytes);
  remove_unfinished(job.out);
}

/// Evaluates a shard's blocks. @returns the shards that are not finished, this one excepted
template <class Item>
std::vector<std::uint32_t> make_shard(const Job<Item>& job, ExtractTotals& totals) {
  const Shard& shard = job.options.shard;
  const std::size_t dimension = job.extractor.extractor().dimension();
  const std::filesystem::path path = shard_path(job.out, shard);
  const OutputLock lock(path);
  const auto log = open_log(path, job.description, dimension, BlockLog::Access::Append, job.options.replace);
  WindowReader<Item> reader(job.source, job.extractor.extractor(), job.extractor.pool(), 0, job.options.skip_bad);
  ProgressEstimate progress(job.options);
  for (Window window; reader.next(window);) {
    evaluate_window(job, window, *log, progress, totals);
    totals.counts += window.counts;
  }
  if (!log->finished()) log->finish();
  std::error_code ignored;
  std::filesystem::remove(token_states_path(job.out, shard), ignored);
  std::vector<std::uint32_t> unfinished;
  for (std::uint32_t s = 0; s < shard.count; ++s) {
    if (s == shard.index) continue;
    const std::filesystem::path other = shard_path(job.out, {s, shard.count});
    const bool finished = std::filesystem::exists(other) &&
                          BlockLog(other, job.description, dimension, BlockLog::Access::Read).finished();
    if (!finished) unfinished.push_back(s);
  }
  return unfinished;
}

template <class Item>
ExtractTotals extract_records(const Backbone& backbone, FeatureKind kind, const std::function<bool(Item&)>& source,
                              const std::filesystem::path& out, const ExtractOptions& options) {
  if (options.data.hash.empty()) throw Error(ErrorCode::Internal, "features need the identity of their data");
  if (options.dtype != Dtype::F32 && options.dtype != Dtype::F16 && options.dtype != Dtype::BF16) {
    throw Error(ErrorCode::BadUsage, fmt::format("features cannot be stored as {}", dtype_name(options.dtype)),
                "use f32, f16 or bf16");
  }
  const double start = monotonic_s();
  std::optional<OutputLock> lock;
  if (options.shard.count == 1) lock.emplace(out);
  ParallelExtractor extractor(backbone, options.features, options.threads, options.projection);
  const Metadata description = describe_features(extractor.extractor(), kind, options.dtype, options.data);
  ExtractTotals totals;
  if (is_up_to_date(out, description, options, totals)) {
    totals.up_to_date = true;
    if (lock) remove_unfinished(out);  // of a run that was killed just after it had finished
  } else {
    const Job<Item> job{backbone, kind, source, out, options, extractor, description};
    if (options.shard.count == 1) {
      make_output(job, totals);
    } else {
      totals.unfinished_shards = make_shard(job, totals);
    }
    totals.evaluated_tokens -= totals.resumed_tokens;
  }
  totals.seconds = monotonic_s() - start;
  totals.tokens_per_second = static_cast<double>(totals.evaluated_tokens) / totals.seconds;
  totals.flops =
      evaluation_flops(backbone.identity(), totals.counts) + token_sum_flops(options.projection.get(), totals.counts);
  return totals;
}

}  // namespace

ExtractTotals extract_pairs(const Backbone& backbone, const PairSource& source, const std::filesystem::path& out,
                            const ExtractOptions& options) {
  return extract_records<Pair>(backbone, FeatureKind::Pairs, source, out, options);
}

ExtractTotals extract_labelled(const Backbone& backbone, const LabelledSource& source, const std::filesystem::path& out,
                               const ExtractOptions& options) {
  return extract_records<Labelled>(backbone, FeatureKind::Labelled, source, out, options);
}

}  // namespace coala
