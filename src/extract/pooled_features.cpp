#include "extract/pooled_features.h"

#include <algorithm>

namespace coala {

PooledFeatures::PooledFeatures(const FeatureSettings& settings, std::size_t width,
                               std::span<const EncodedResponse* const> responses, std::vector<std::size_t> first_rows,
                               Matrix<float>& features)
    : settings_(settings),
      width_(width),
      responses_(responses),
      next_(std::move(first_rows)),
      sums_(settings.pooling == Pooling::Last ? 0 : responses.size(), width),
      features_(features) {}

void PooledFeatures::take(const EvaluatedToken& token) {
  const EncodedResponse& response = *responses_[token.response];
  const std::size_t position = token.position;
  const std::size_t first = settings_.over == PoolOver::Response ? response.prompt_tokens : 0;
  const std::size_t end = response.tokens.size() - response.closing_tokens;
  if (position < first || position >= end) return;
  const bool mean = settings_.pooling != Pooling::Last;
  if (mean) {
    const std::span<double> to = sums_.row(token.response);
    for (std::size_t j = 0; j < width_; ++j) to[j] += static_cast<double>(token.state[j]);
  }
  const std::size_t every = settings_.prefix_every_tokens;
  const bool at_prefix =
      every > 0 && position >= response.prompt_tokens && (position + 1 - response.prompt_tokens) % every == 0;
  if (!at_prefix && position + 1 != end) return;
  const std::span<float> feature = features_.row(next_[token.response]++);
  if (mean) {
    const auto count = static_cast<double>(position + 1 - first);
    for (std::size_t j = 0; j < width_; ++j) feature[j] = static_cast<float>(sums_(token.response, j) / count);
  }
  if (settings_.pooling != Pooling::Mean) std::ranges::copy(token.state, feature.subspan(mean ? width_ : 0).begin());
}

}  // namespace coala
