#include "judge/scorer.h"

#include <algorithm>
#include <atomic>

#include "core/interrupt.h"
#include "extract/parallel_extractor.h"
#include "head/guiding_head.h"

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

namespace {

/// Is it the same prompt?
bool same_prompt(const EncodedResponse& a, const EncodedResponse& b) {
  return a.prompt_tokens == b.prompt_tokens &&
         std::ranges::equal(std::span(a.tokens).first(a.prompt_tokens), std::span(b.tokens).first(b.prompt_tokens));
}

}  // namespace

std::vector<double> Scorer::scores(const Head& head, std::span<const EncodedResponse* const> responses) {
  check_scores(head);
  std::vector<std::size_t> begins;  // of those in a row with the same prompt
  for (std::size_t i = 0; i < responses.size(); ++i) {
    if (i == 0 || !same_prompt(*responses[i], *responses[i - 1])) begins.push_back(i);
  }
  begins.push_back(responses.size());
  std::vector<double> scores(responses.size());
  std::atomic<std::size_t> next{0};
  // One part per worker, but each takes the next prompt when it is free: they differ in length.
  pool_.for_parts(extractors_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t w = begin; w < end; ++w) {
      for (std::size_t k = 0; (k = next.fetch_add(1)) + 1 < begins.size();) {
        throw_if_interrupted();
        const std::size_t first = begins[k];
        const Matrix<float> features = extractors_[w]->pool_apart(responses.subspan(first, begins[k + 1] - first));
        for (std::size_t i = 0; i < features.rows(); ++i) scores[first + i] = head.score(features.row(i));
      }
    }
  });
  return scores;
}

}  // namespace coala
