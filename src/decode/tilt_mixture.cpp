#include "decode/tilt_mixture.h"

namespace coala {

void TiltMixture::add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool* threads) const {
  for (const auto& [tilt, own] : parts_) tilt->add(state, scale * own, logits, threads);
}

}  // namespace coala
