#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "judge/judge.h"

namespace coala {

void check_independent(const Head& judge, const std::string& judge_name, const Head& guiding) {
  const std::string data = judge.value("data.hash");
  if (data.empty() || data != guiding.value("data.hash")) return;
  throw Error(ErrorCode::BadUsage,
              fmt::format("{} was trained on the data of the guiding head ({}): it is no judge of it", judge_name,
                          judge.value("data.name")),
              "train the judge on other data");
}

HeadJudge::HeadJudge(Head head, std::string head_name, std::string head_hash, const Backbone& backbone,
                     const FeatureSettings& features, int threads)
    : head_(std::move(head)),
      name_(std::move(head_name)),
      hash_(std::move(head_hash)),
      scorer_(backbone, features, threads) {}

void HeadJudge::score_each(std::span<const ReplyToJudge> replies, const Heard& heard) {
  constexpr std::size_t kAtOnce = 64;  // what is lost when the run is ended: the scores do not depend on it
  double lowest = std::numeric_limits<double>::infinity();
  std::vector<EncodedResponse> encoded;
  std::vector<std::size_t> whose;
  const auto score = [&] {
    std::vector<const EncodedResponse*> responses;
    for (const EncodedResponse& one : encoded) responses.push_back(&one);
    const std::vector<double> found = scorer_.scores(head_, responses);
    for (std::size_t k = 0; k < found.size(); ++k) {
      lowest = std::min(lowest, found[k]);
      heard(whose[k], found[k]);
    }
    encoded.clear();
    whose.clear();
  };
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].text.empty()) continue;
    FeatureCounts counts;
    const std::array<std::string_view, 1> text{replies[i].text};
    encoded.push_back(std::move(scorer_.extractor().encode(*replies[i].prompt, text, counts).front()));
    whose.push_back(i);
    if (encoded.size() == kAtOnce) score();
  }
  score();
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].text.empty()) heard(i, std::isfinite(lowest) ? lowest : 0);
  }
}

}  // namespace coala
