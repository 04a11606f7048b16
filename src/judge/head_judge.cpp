#include <algorithm>
#include <array>
#include <limits>

#include "core/interrupt.h"
#include "judge/judge.h"

namespace coala {

HeadJudge::HeadJudge(Head head, std::string head_name, const Backbone& backbone, const FeatureSettings& features,
                     int threads)
    : head_(std::move(head)), name_(std::move(head_name)), pool_(threads) {
  for (int i = 0; i < pool_.size(); ++i) {
    extractors_.push_back(std::make_unique<FeatureExtractor>(backbone, features, /*threads=*/1));
  }
}

std::vector<double> HeadJudge::scores(std::span<const ReplyToJudge> replies) {
  const double none = std::numeric_limits<double>::infinity();
  std::vector<double> scores(replies.size(), none);
  pool_.for_parts(replies.size(), 1, [&](int worker, std::size_t begin, std::size_t end) {
    FeatureExtractor& extractor = *extractors_[static_cast<std::size_t>(worker)];
    for (std::size_t i = begin; i < end; ++i) {
      throw_if_interrupted();
      if (replies[i].text.empty()) continue;
      FeatureCounts counts;
      const std::array<std::string_view, 1> text{replies[i].text};
      const std::vector<EncodedResponse> encoded = extractor.encode(*replies[i].prompt, text, counts);
      const EncodedResponse* const response = encoded.data();
      scores[i] = head_.score(extractor.pool({&response, 1}).row(0));
    }
  });
  const double lowest = *std::ranges::min_element(scores);
  std::ranges::replace(scores, none, lowest == none ? 0.0 : lowest);
  return scores;
}

}  // namespace coala
