#pragma once

#include <vector>

#include "core/matrix.h"
#include "extract/feature_extractor.h"
#include "extract/token_consumer.h"

namespace coala {

/// Pools the states of responses as they come; nothing but the sums is kept.
class PooledFeatures : public TokenConsumer {
 public:
  /// @param first_rows  row of the first feature of each response
  /// @param features    [rows, at least poolings x width]; the leading columns are written
  PooledFeatures(const FeatureSettings& settings, std::size_t width, std::span<const EncodedResponse* const> responses,
                 std::vector<std::size_t> first_rows, Matrix<float>& features);
  void take(const EvaluatedToken& token) override;

 private:
  const FeatureSettings& settings_;
  std::size_t width_;  ///< of a state
  std::span<const EncodedResponse* const> responses_;
  std::vector<std::size_t> next_;  ///< row of the response's next feature
  Matrix<double> sums_;  ///< in double: the mean of some hundred states keeps float's precision whatever their order
  Matrix<float>& features_;
};

}  // namespace coala
