#pragma once

#include <cstddef>

namespace coala {

/// A program that applies F'F to weights [P, d] many times.
struct NormalWork {
  std::size_t rows = 0;          ///< n, pointwise
  std::size_t dimension = 0;     ///< d
  std::size_t groups = 0;        ///< P
  std::size_t applications = 0;  ///< how often F'F is expected to be applied
  std::size_t number_bytes = sizeof(float);
};

/// Seconds of one thread for both ways of applying F'F. Threads speed both up alike, so they do not matter to the
/// comparison.
struct NormalCost {
  double pass_s = 0;      ///< of one application by a pass over X
  double gram_s = 0;      ///< of one application by the Gram blocks
  double forming_s = 0;   ///< of making the Gram blocks, once
  double gram_bytes = 0;  ///< that the blocks take
  bool fits = false;      ///< whether they take no more than half of the bytes of X

  double by_passes_s(std::size_t applications) const { return pass_s * static_cast<double>(applications); }
  double by_gram_s(std::size_t applications) const { return forming_s + gram_s * static_cast<double>(applications); }
};

/// What both ways will cost, from counts of operations and rates that were measured once (bench/gram.cpp).
NormalCost normal_cost(const NormalWork& work);

/// Whether the Gram blocks are made: they must fit, and all applications with them be cheaper than passes.
bool gram_pays(const NormalWork& work);

}  // namespace coala
