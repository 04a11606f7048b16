#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "extract/block_store.h"
#include "extract/kept_states.h"
#include "extract/window.h"

namespace coala {

/// Which blocks a process evaluates: those whose number leaves the remainder `index` when divided by `count`.
struct Shard {
  std::uint32_t index = 0;
  std::uint32_t count = 1;
};

/// Blocks of a window that have no features yet.
struct PendingBlocks {
  std::vector<std::uint32_t> kept;     ///< whose states are kept
  std::vector<std::uint32_t> unknown;  ///< that the model has to evaluate
};

/// @param kept  null: no states are
PendingBlocks pending_blocks(const Window& window, const BlockStore& store, const KeptStates* kept, const Shard& shard);

/// How many extractors like this one may be in memory together, at least one and at most `threads`.
std::size_t affordable_workers(const FeatureExtractor& extractor, std::size_t threads);

/// Evaluates several blocks at a time, each on a thread of its own.
///
/// llama.cpp splits every matrix product over its threads and lets them spin until the last is done. On a machine that
/// does anything else that costs more than it gains (measured: 2 threads beside a compiler took 8 times the CPU time),
/// and blocks are independent. Features do not depend on the number of threads, so nothing else changes.
class ParallelExtractor {
 public:
  /// @param threads  0: all cores this process may use. As many blocks at once as memory allows; threads that are
  ///   left over go to llama.cpp.
  /// @param projection  null: no sums for a token head
  ParallelExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads,
                    std::shared_ptr<const TokenProjection> projection = nullptr);

  /// Told of evaluated tokens as a block goes on, one call at a time; those of a block add up to its plan's.
  using OnTokens = FeatureExtractor::OnTokens;

  /// Makes the features of blocks: first of those whose states are kept, which need no evaluation and are told of only
  /// where nothing else is to do.
  /// @throws Error{BadInput} naming the record for states that are not finite, Error{Interrupted}; finished blocks stay
  void evaluate(const Window& window, const PendingBlocks& blocks, BlockStore& store, const KeptStates* kept,
                const OnTokens& on_tokens);

  /// Evaluates some of the window's blocks and keeps their states; those that are kept already are left as they are.
  void keep_states(const Window& window, std::span<const std::uint32_t> blocks, KeptStates& kept,
                   const OnTokens& on_tokens);

  ThreadPool& pool() { return pool_; }
  /// For descriptions and for encoding: backbone, settings and limit, which all extractors share.
  const FeatureExtractor& extractor() const { return *extractors_.front(); }

 private:
  using Work = std::function<void(FeatureExtractor& extractor, std::uint32_t block, const OnTokens& on_tokens)>;
  void for_blocks(const Window& window, std::span<const std::uint32_t> blocks, const OnTokens& on_tokens,
                  const Work& work);

  std::vector<std::unique_ptr<FeatureExtractor>> extractors_;
  ThreadPool pool_;
};

}  // namespace coala
