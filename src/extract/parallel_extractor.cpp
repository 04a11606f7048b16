#include "extract/parallel_extractor.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <iterator>
#include <mutex>
#include <optional>

#include "core/error.h"
#include "core/interrupt.h"

namespace coala {
namespace {

/// What the workers' caches and output buffers may take together.
constexpr std::size_t kWorkerMemory_bytes = std::size_t{1} << 30;

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

std::size_t affordable_workers(const FeatureExtractor& extractor, std::size_t threads) {
  if (extractor.backbone().placement().device != nullptr) return 1;  // which has one queue, and its own memory
  const std::size_t affordable = kWorkerMemory_bytes / std::max<std::size_t>(1, extractor.evaluator().context_bytes());
  return std::clamp<std::size_t>(affordable, 1, threads);
}

PendingBlocks pending_blocks(const Window& window, const BlockStore& store, const KeptStates* kept,
                             const Shard& shard) {
  PendingBlocks pending;
  for (std::uint32_t b = shard.index; b < window.plan.blocks.size(); b += shard.count) {
    if (store.contains({window.index, b})) continue;
    const bool is_kept = kept != nullptr && kept->contains({window.index, b});
    (is_kept ? pending.kept : pending.unknown).push_back(b);
  }
  return pending;
}

ParallelExtractor::ParallelExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads,
                                     std::shared_ptr<const TokenProjection> projection)
    : pool_(threads) {
  const auto all = static_cast<std::size_t>(pool_.size());
  extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, 1, projection));
  const std::size_t workers = affordable_workers(*extractors_.front(), all);
  const int each = static_cast<int>(all / workers);
  if (each > 1) extractors_.front() = std::make_unique<FeatureExtractor>(backbone, settings, each, projection);
  while (extractors_.size() < workers) {
    extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, each, projection));
  }
}

void ParallelExtractor::for_blocks(const Window& window, std::span<const std::uint32_t> blocks,
                                   const OnTokens& on_tokens, const Work& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  // One part per worker, but each takes the next block when it is free: blocks differ in length.
  pool_.for_parts(extractors_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (std::size_t i = 0; (i = next.fetch_add(1)) < blocks.size();) {
        std::uint64_t left = window.plan.blocks[blocks[i]].evaluated_tokens;
        const auto tell = [&](std::uint64_t tokens) {
          tokens = std::min(tokens, left);
          left -= tokens;
          const std::lock_guard lock(mutex);
          if (on_tokens && tokens > 0) on_tokens(tokens);
        };
        try {
          throw_if_interrupted();
          work(*extractors_[w], blocks[i], tell);
        } catch (...) {
          next = blocks.size();  // the others finish the block that they are at
          throw;
        }
      }
    }
  });
}

void ParallelExtractor::evaluate(const Window& window, const PendingBlocks& blocks, BlockStore& store,
                                 const KeptStates* kept, const OnTokens& on_tokens) {
  std::vector<std::uint32_t> all = blocks.kept;
  all.insert(all.end(), blocks.unknown.begin(), blocks.unknown.end());
  std::vector<bool> is_kept(window.plan.blocks.size());
  for (const std::uint32_t b : blocks.kept) is_kept[b] = true;
  for_blocks(window, all, on_tokens, [&](FeatureExtractor& extractor, std::uint32_t b, const OnTokens& tell) {
    const PlannedBlock& block = window.plan.blocks[b];
    const std::vector<const EncodedResponse*> responses = window.responses_of(b);
    std::optional<Matrix<float>> rows;
    if (is_kept[b]) rows = kept->rows({window.index, b}, kept_rows(responses, extractor.settings().over));
    const bool told = !is_kept[b] || blocks.unknown.empty();
    const Matrix<float> features = extractor.pool(responses, rows ? &*rows : nullptr, told ? tell : OnTokens());
    check_finite(window, block, features);
    store.put({window.index, b}, features);
    if (told) tell(block.evaluated_tokens);
  });
}

void ParallelExtractor::keep_states(const Window& window, std::span<const std::uint32_t> blocks, KeptStates& kept,
                                    const OnTokens& on_tokens) {
  std::vector<std::uint32_t> missing;
  std::ranges::copy_if(blocks, std::back_inserter(missing), [&](std::uint32_t b) {
    return !kept.contains({window.index, b});
  });
  for_blocks(window, missing, on_tokens, [&](FeatureExtractor& extractor, std::uint32_t b, const OnTokens& tell) {
    const std::vector<const EncodedResponse*> responses = window.responses_of(b);
    StateKeeper keeper(responses, extractor.settings().over, extractor.evaluator().state_size());
    TokenConsumer* const only = &keeper;
    extractor.stream(responses, {&only, 1}, tell);
    kept.put({window.index, b}, keeper.rows());
    tell(window.plan.blocks[b].evaluated_tokens);
  });
}

}  // namespace coala
