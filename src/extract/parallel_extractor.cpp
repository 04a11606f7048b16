#include "extract/parallel_extractor.h"

#include <algorithm>
#include <atomic>

#include "core/interrupt.h"
#include "core/resources.h"

namespace coala {
namespace {

/// What the workers' caches and output buffers may take together.
constexpr std::size_t kWorkerMemory_bytes = std::size_t{1} << 30;
/// How long a batch should take: long enough that no worker waits much for the last one, short enough that a kill and
/// the progress bar see every few seconds of work even with a model that takes seconds per record.
constexpr double kShortBatch_s = 0.5;
constexpr double kLongBatch_s = 2;
constexpr std::size_t kLargestBatchPerWorker = 64;

std::size_t count_workers(const FeatureExtractor& extractor, std::size_t threads) {
  const std::size_t affordable = kWorkerMemory_bytes / std::max<std::size_t>(1, extractor.context_bytes());
  return std::clamp<std::size_t>(affordable, 1, threads);
}

}  // namespace

ParallelExtractor::ParallelExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads)
    : pool_(threads) {
  const auto all = static_cast<std::size_t>(pool_.size());
  extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, 1));
  const std::size_t workers = count_workers(*extractors_.front(), all);
  const int each = static_cast<int>(all / workers);
  if (each > 1) extractors_.front() = std::make_unique<FeatureExtractor>(backbone, settings, each);
  while (extractors_.size() < workers) {
    extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, each));
  }
}

template <class Item>
std::vector<ParallelExtractor::Result> ParallelExtractor::extract_batch(std::span<const Item> records) {
  std::vector<Result> results(records.size());
  std::atomic<std::size_t> next{0};
  // One part per worker, but each takes the next record when it is free: records differ in length.
  pool_.for_parts(extractors_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (std::size_t i = 0; (i = next.fetch_add(1)) < records.size();) {
        const FeatureCounts before = extractors_[w]->counts();
        try {
          throw_if_interrupted();
          results[i].features = record_features(*extractors_[w], records[i]);
          results[i].counts = extractors_[w]->counts() - before;
        } catch (...) {
          results[i].failure = std::current_exception();
        }
      }
    }
  });
  return results;
}

template <class Item>
void ParallelExtractor::extract(const std::function<bool(Item&)>& source, const Consumer<Item>& consumer) {
  std::size_t batch_records = extractors_.size();
  std::vector<Item> records;
  for (bool more = true; more;) {
    records.clear();
    while (records.size() < batch_records) {
      Item record;
      more = source(record);
      if (!more) break;
      records.push_back(std::move(record));
    }
    const double start = monotonic_s();
    const std::vector<Result> results = extract_batch<Item>(records);
    const double seconds = monotonic_s() - start;
    if (seconds < kShortBatch_s) {
      batch_records = std::min(2 * batch_records, kLargestBatchPerWorker * extractors_.size());
    } else if (seconds > kLongBatch_s) {
      batch_records = std::max(batch_records / 2, extractors_.size());
    }
    for (std::size_t i = 0; i < results.size(); ++i) {
      if (results[i].failure) std::rethrow_exception(results[i].failure);
      consumer(records[i], results[i].features, results[i].counts);
    }
  }
}

template void ParallelExtractor::extract(const std::function<bool(Pair&)>&, const Consumer<Pair>&);
template void ParallelExtractor::extract(const std::function<bool(Labelled&)>&, const Consumer<Labelled>&);

}  // namespace coala
