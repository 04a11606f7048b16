#include "judge/scorer.h"

#include <atomic>

#include "core/interrupt.h"
#include "extract/parallel_extractor.h"

namespace coala {

Scorer::Scorer(const Backbone& backbone, const FeatureSettings& settings, int threads) : pool_(threads) {
  extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, /*threads=*/1));
  const auto all = static_cast<std::size_t>(pool_.size());
  const std::size_t workers = affordable_workers(*extractors_.front(), all);
  const int each = static_cast<int>(all / workers);  // those that are left over go into the products
  if (each > 1) extractors_.front() = std::make_unique<FeatureExtractor>(backbone, settings, each);
  while (extractors_.size() < workers) {
    extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, settings, each));
  }
}

std::vector<double> Scorer::scores(const Head& head, std::span<const EncodedResponse* const> responses) {
  std::vector<double> scores(responses.size());
  std::atomic<std::size_t> next{0};
  // One part per worker, but each takes the next response when it is free: they differ in length.
  pool_.for_parts(extractors_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (std::size_t i = 0; (i = next.fetch_add(1)) < responses.size();) {
        throw_if_interrupted();
        scores[i] = head.score(extractors_[w]->pool(responses.subspan(i, 1)).row(0));
      }
    }
  });
  return scores;
}

}  // namespace coala
