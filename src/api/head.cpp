#include "coala/head.h"

#include <fmt/format.h>

#include "api/state.h"
#include "coala/error.h"
#include "eval/metrics.h"

namespace coala::v1 {

Head Head::load(const std::filesystem::path& path) {
  return head_of(load_head(path), path);
}

void Head::save(const std::filesystem::path& path) const {
  save_head(state_->head, path);
}

std::size_t Head::dimension() const {
  return state_->head.dimension();
}

bool Head::bound() const {
  return state_->head.bound();
}

bool Head::has_token_head() const {
  return state_->head.token.has_value();
}

const std::map<std::string, std::string>& Head::metadata() const {
  return state_->head.metadata;
}

double Head::score(std::span<const float> features) const {
  if (features.size() != dimension()) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("{} features are given; the head is for {}", features.size(), dimension()));
  }
  return state_->head.score(features);
}

double Head::probability(double score) const {
  return state_->head.probability(score);
}

Scores score(const Head& head, const Features& features) {
  const Head::State& own = head.state();
  const FeatureSet& set = features.state().set;
  // Whose arrays they are, the caller knows.
  check_head_matches(own.head, own.path, set.dimension(), set.metadata, set.path, /*allow_unbound=*/true);
  coala::Scores scores = score_features(own.head, set);
  return {std::move(scores.chosen), std::move(scores.rejected), std::move(scores.single)};
}

}  // namespace coala::v1
