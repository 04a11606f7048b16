#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "core/random.h"
#include "features/feature_set.h"
#include "head/head.h"
#include "reference.h"

/// Feature sets whose truth is known.
namespace coala::test {

using Truth = std::function<double(std::span<const float>)>;

/// Standard normal features; a label is +1 with probability sigmoid(truth(x)). Every row its own prompt.
inline FeatureSet labelled_set(std::size_t n, std::size_t d, const Truth& truth, std::uint64_t seed) {
  Random random(seed);
  FeatureSet set;
  set.kind = FeatureKind::Labelled;
  set.features = normal_matrix(n, d, random);
  set.prompt_id.resize(n);
  std::iota(set.prompt_id.begin(), set.prompt_id.end(), 0);
  for (std::size_t i = 0; i < n; ++i) {
    set.labels.push_back(random.uniform() < 1 / (1 + std::exp(-truth(set.features.row(i)))) ? 1 : -1);
  }
  set.path = "labelled";
  return set;
}

/// Pairs of which the first wins with probability sigmoid(truth(x) - truth(x')); the winner is `chosen`.
inline FeatureSet pair_set(std::size_t n, std::size_t d, const Truth& truth, std::uint64_t seed) {
  Random random(seed);
  FeatureSet set;
  set.kind = FeatureKind::Pairs;
  Matrix<float> chosen = normal_matrix(n, d, random);
  Matrix<float> rejected = normal_matrix(n, d, random);
  set.prompt_id.resize(n);
  std::iota(set.prompt_id.begin(), set.prompt_id.end(), 0);
  for (std::size_t i = 0; i < n; ++i) {
    const double difference = truth(chosen.row(i)) - truth(rejected.row(i));
    if (random.uniform() < 1 / (1 + std::exp(-difference))) continue;
    std::ranges::swap_ranges(chosen.row(i), rejected.row(i));
  }
  set.chosen = std::move(chosen);
  set.rejected = std::move(rejected);
  set.path = "pairs";
  return set;
}

/// The best accuracy that anybody can expect on rows like these.
inline double bayes_accuracy(const FeatureSet& set, const Truth& truth) {
  double sum = 0;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    const double z = set.kind == FeatureKind::Pairs ? truth(set.chosen.row(i)) - truth(set.rejected.row(i))
                                                    : truth(set.features.row(i));
    sum += 1 / (1 + std::exp(-std::abs(z)));
  }
  return sum / static_cast<double>(set.rows());
}

inline double accuracy(const FeatureTransform& transform, const Network& network, const FeatureSet& set) {
  const Head head{transform, network, {}};
  double right = 0;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    const double z = set.kind == FeatureKind::Pairs ? head.score(set.chosen.row(i)) - head.score(set.rejected.row(i))
                                                    : set.labels[i] * head.score(set.features.row(i));
    right += z > 0 ? 1 : 0;
  }
  return right / static_cast<double>(set.rows());
}

}  // namespace coala::test
