#include <algorithm>
#include <array>
#include <limits>

#include "judge/judge.h"

namespace coala {

HeadJudge::HeadJudge(Head head, std::string head_name, const Backbone& backbone, const FeatureSettings& features,
                     int threads)
    : head_(std::move(head)), name_(std::move(head_name)), scorer_(backbone, features, threads) {}

std::vector<double> HeadJudge::scores(std::span<const ReplyToJudge> replies) {
  std::vector<EncodedResponse> encoded;
  std::vector<std::size_t> whose;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].text.empty()) continue;
    FeatureCounts counts;
    const std::array<std::string_view, 1> text{replies[i].text};
    encoded.push_back(std::move(scorer_.extractor().encode(*replies[i].prompt, text, counts).front()));
    whose.push_back(i);
  }
  std::vector<const EncodedResponse*> responses;
  for (const EncodedResponse& one : encoded) responses.push_back(&one);
  const std::vector<double> found = scorer_.scores(head_, responses);
  const double lowest = found.empty() ? 0.0 : *std::ranges::min_element(found);
  std::vector<double> scores(replies.size(), lowest);
  for (std::size_t k = 0; k < whose.size(); ++k) scores[whose[k]] = found[k];
  return scores;
}

}  // namespace coala
