#pragma once

#include <span>
#include <utility>
#include <vector>

#include "decode/logits_processor.h"

namespace coala {

/// Several tilts, each with a scale of its own: the sum of scale * tilt.
class TiltMixture : public LogitsProcessor {
 public:
  using Part = std::pair<const LogitsProcessor*, double>;

  /// @param parts  the tilts must outlive it
  explicit TiltMixture(std::vector<Part> parts) : parts_(std::move(parts)) {}
  void add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool* threads) const override;

 private:
  std::vector<Part> parts_;
};

}  // namespace coala
