#pragma once

#include <exception>
#include <memory>
#include <optional>
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

  struct Result {
    Matrix<float> features;  ///< see record_features()
    FeatureCounts counts;
    std::exception_ptr failure;  ///< instead of features
  };

  /// How many records to hand over at once to keep all threads busy.
  std::size_t batch_records() const { return 8 * extractors_.size(); }
  /// One result per record, in their order.
  template <class Item>
  std::vector<Result> extract(std::span<const Item> records);

  /// For descriptions: backbone, settings and limit, which all extractors share.
  const FeatureExtractor& extractor() const { return *extractors_.front(); }
  std::size_t workers() const { return extractors_.size(); }

 private:
  std::vector<std::unique_ptr<FeatureExtractor>> extractors_;
  ThreadPool pool_;
};

}  // namespace coala
