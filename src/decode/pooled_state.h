#pragma once

#include <optional>
#include <span>
#include <vector>

#include "extract/feature_extractor.h"

namespace coala {

/// The feature of a text that grows by a token at a time; the same as FeatureExtractor's up to rounding. The sum of the
/// states is kept, so that a token costs one addition of a vector. Which tokens are pooled is up to the caller.
class PooledState {
 public:
  PooledState(Pooling pooling, std::size_t dimension) : pooling_(pooling), sum_(dimension) {}

  void add(std::span<const float> state);

  bool empty() const { return count_ == 0; }

  /// The feature, [d] or [2 d], of what was added, which must be something.
  /// @throws Error{BadInput} when it is not finite
  std::vector<float> feature() const;

 private:
  Pooling pooling_;
  std::vector<double> sum_;  ///< [d]; of all states, or the last one
  std::vector<float> last_;  ///< [d]; the last state where it is pooled beside the mean
  std::size_t count_ = 0;    ///< of the states in sum_
};

}  // namespace coala
