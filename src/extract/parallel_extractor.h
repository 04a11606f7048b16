#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/parallel.h"
#include "extract/record_features.h"

namespace coala {

/// Extracts several records at a time, each on a thread of its own.
///
/// llama.cpp splits every matrix product over its threads and lets them spin until the last is done. On a machine that
/// does anything else that costs more than it gains (measured: 2 threads beside a compiler took 8 times the CPU time),
/// and records are independent. Features do not depend on the number of threads, so nothing else changes.
class ParallelExtractor {
 public:
  /// @param threads  0: all cores this process may use. As many records at once as memory allows; threads that are
  ///   left over go to llama.cpp.
  ParallelExtractor(const Backbone& backbone, const FeatureSettings& settings, int threads);

  /// Takes a record's features, see record_features(), and what was counted for it.
  template <class Item>
  using Consumer = std::function<void(const Item& record, const Matrix<float>& features, const FeatureCounts& counts)>;

  /// Extracts all records of a source and hands them on in their order, on the calling thread.
  /// @throws what record_features() throws for the first record that fails, after the records before it were handed on;
  ///   Error{Interrupted}
  template <class Item>
  void extract(const std::function<bool(Item&)>& source, const Consumer<Item>& consumer);

  /// For descriptions: backbone, settings and limit, which all extractors share.
  const FeatureExtractor& extractor() const { return *extractors_.front(); }

 private:
  struct Result {
    Matrix<float> features;
    FeatureCounts counts;
    std::exception_ptr failure;  ///< instead of features
  };
  template <class Item>
  std::vector<Result> extract_batch(std::span<const Item> records);

  std::vector<std::unique_ptr<FeatureExtractor>> extractors_;
  ThreadPool pool_;
};

}  // namespace coala
