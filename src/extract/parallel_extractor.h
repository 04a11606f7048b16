#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/parallel.h"
#include "extract/block_store.h"
#include "extract/window.h"

namespace coala {

/// Which blocks a process evaluates: those whose number leaves the remainder `index` when divided by `count`.
struct Shard {
  std::uint32_t index = 0;
  std::uint32_t count = 1;
};

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

  /// Evaluates the window's blocks that the store lacks and that are the shard's.
  /// @param on_tokens  called after each block with the tokens that were evaluated, one call at a time
  /// @throws Error{BadInput} naming the record for states that are not finite, Error{Interrupted}; finished blocks stay
  void evaluate(const Window& window, BlockStore& store, const Shard& shard,
                const std::function<void(std::uint64_t tokens)>& on_tokens);

  ThreadPool& pool() { return pool_; }
  /// For descriptions and for encoding: backbone, settings and limit, which all extractors share.
  const FeatureExtractor& extractor() const { return *extractors_.front(); }

 private:
  std::vector<std::unique_ptr<FeatureExtractor>> extractors_;
  ThreadPool pool_;
};

}  // namespace coala
