#include "extract/parallel_extractor.h"

#include <algorithm>
#include <atomic>

#include "core/interrupt.h"

namespace coala {
namespace {

/// What the workers' caches and output buffers may take together.
constexpr std::size_t kWorkerMemory_bytes = std::size_t{1} << 30;

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
std::vector<ParallelExtractor::Result> ParallelExtractor::extract(std::span<const Item> records) {
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
          results[i].counts = difference(extractors_[w]->counts(), before);
        } catch (...) {
          results[i].failure = std::current_exception();
        }
      }
    }
  });
  return results;
}

template std::vector<ParallelExtractor::Result> ParallelExtractor::extract(std::span<const Pair>);
template std::vector<ParallelExtractor::Result> ParallelExtractor::extract(std::span<const Labelled>);

}  // namespace coala
