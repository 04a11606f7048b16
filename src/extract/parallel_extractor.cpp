#include "extract/parallel_extractor.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include "core/error.h"
#include "core/interrupt.h"

namespace coala {
namespace {

/// What the workers' caches and output buffers may take together.
constexpr std::size_t kWorkerMemory_bytes = std::size_t{1} << 30;

std::size_t count_workers(const FeatureExtractor& extractor, std::size_t threads) {
  const std::size_t affordable = kWorkerMemory_bytes / std::max<std::size_t>(1, extractor.evaluator().context_bytes());
  return std::clamp<std::size_t>(affordable, 1, threads);
}

void check_finite(const Window& window, const PlannedBlock& block, const Matrix<float>& features) {
  for (std::size_t i = 0; i < features.rows(); ++i) {
    const auto row = features.row(i);
    const auto bad = std::find_if(row.begin(), row.end(), [](float value) { return !std::isfinite(value); });
    if (bad == row.end()) continue;
    std::size_t k = 0;  // whose feature it is
    for (std::size_t rows = 0; (rows += window.places[block.responses[k]].rows) <= i;) ++k;
    throw Error(ErrorCode::BadInput,
                fmt::format("record '{}': the model's hidden states of its response {} are not finite (column {})",
                            window.rows[block.responses[k] / window.responses_per_record].id,
                            block.responses[k] % window.responses_per_record + 1, bad - row.begin()),
                "the model file is damaged or its weights overflow; try another quantisation of it");
  }
}

}  // namespace

ParallelExtractor::ParallelExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads,
                                     std::shared_ptr<const TokenProjection> projection)
    : pool_(threads) {
  const auto all = static_cast<std::size_t>(pool_.size());
  extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, 1, projection));
  const std::size_t workers = count_workers(*extractors_.front(), all);
  const int each = static_cast<int>(all / workers);
  if (each > 1) extractors_.front() = std::make_unique<FeatureExtractor>(backbone, settings, each, projection);
  while (extractors_.size() < workers) {
    extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, each, projection));
  }
}

void ParallelExtractor::evaluate(const Window& window, BlockStore& store, const Shard& shard,
                                 const std::function<void(std::uint64_t)>& on_tokens) {
  std::atomic<std::uint32_t> next{0};
  std::mutex mutex;
  const auto blocks = static_cast<std::uint32_t>(window.plan.blocks.size());
  // One part per worker, but each takes the next block when it is free: blocks differ in length.
  pool_.for_parts(extractors_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (std::uint32_t b = 0; (b = next.fetch_add(1)) < blocks;) {
        const PlannedBlock& block = window.plan.blocks[b];
        if (b % shard.count != shard.index) continue;
        if (!store.contains({window.index, b})) {
          try {
            throw_if_interrupted();
            std::vector<const EncodedResponse*> responses;
            for (const std::uint32_t r : block.responses) responses.push_back(&window.responses[r]);
            const Matrix<float> features = extractors_[w]->pool(responses);
            check_finite(window, block, features);
            store.put({window.index, b}, features);
          } catch (...) {
            next = blocks;  // the others finish the block that they are at
            throw;
          }
        }
        const std::lock_guard lock(mutex);
        if (on_tokens) on_tokens(block.evaluated_tokens);
      }
    }
  });
}

}  // namespace coala
