#pragma once

// llama.cpp by itself, to compare with.

#include <cmath>
#include <span>
#include <vector>

#include "lm/accelerator.h"
#include "lm/hidden_states.h"

namespace coala::test {

/// While it lives, ggml's own kernels compute.
struct Plain {
  Plain() { use_accelerator(false); }
  ~Plain() { use_accelerator(true); }
  Plain(const Plain&) = delete;
  Plain& operator=(const Plain&) = delete;
};

using States = std::vector<std::vector<float>>;  // of a text, [tokens x d] in one piece

inline States states_of_all(StateEvaluator& evaluator, const std::vector<TokenSequence>& texts) {
  States states(texts.size());
  evaluator.evaluate(texts, [&](std::size_t which, std::size_t, std::span<const float> state) {
    states[which].insert(states[which].end(), state.begin(), state.end());
  });
  return states;
}

inline double relative_difference(std::span<const float> a, std::span<const float> b) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace coala::test
