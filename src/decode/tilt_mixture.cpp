#include "decode/tilt_mixture.h"

#include <algorithm>
#include <cstddef>

namespace coala {

void TiltMixture::add(std::span<const float> state, std::span<float> logits, ThreadPool* threads) const {
  thread_local std::vector<float> added;  // kept: a vocabulary may have 262,144 tokens
  for (const auto& [tilt, scale] : parts_) {
    if (scale == 1) {
      tilt->add(state, logits, threads);
      continue;
    }
    added.assign(logits.size(), 0.0f);
    tilt->add(state, added, threads);
    const auto factor = static_cast<float>(scale);
    for (std::size_t i = 0; i < logits.size(); ++i) logits[i] += factor * added[i];
  }
}

}  // namespace coala
