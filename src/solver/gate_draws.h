#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/matrix.h"
#include "core/setting.h"

namespace coala {

/// Where the first gates of the gated program come from (docs/math.md, "gates").
enum class GateSource {
  Gaussian,    ///< standard normal vectors: the data decide nothing
  ClassMeans,  ///< from the mean of a few random rows of class -1 to that of as many of class +1
  Pairs,       ///< from one random row to another
  Principal,   ///< the leading eigenvectors of the rows' second moments, in order; when there are no more, pairs
};

inline constexpr std::array kGateSources{Named{"gaussian", GateSource::Gaussian},
                                         Named{"class-means", GateSource::ClassMeans},
                                         Named{"pairs", GateSource::Pairs}, Named{"principal", GateSource::Principal}};
constexpr const auto& names_of(GateSource) {
  return kGateSources;
}

/// Rows that gates are drawn from and told apart on: a few thousand are enough.
struct GateSample {
  Matrix<float> x;            ///< [m, d], standardised
  std::vector<float> labels;  ///< [m] of -1 or +1; for pairs chosen +1, rejected -1
};

/// The zero gate, which is open everywhere (its group is the linear model), and below it at most `count` unit gate
/// vectors: [at most count + 1, d]. No two have the same or the opposite pattern on the sample, and none is open for
/// all of it or for none: together with the linear group such gates would say the same twice. Fewer come back when the
/// source runs dry (few columns or rows). The same seed gives the same bits for any number of threads.
/// @throws Error{BadInput} when the sample has no rows, or class means are asked for and a class has none
Matrix<float> draw_gates_with_linear(GateSource source, std::size_t count, const GateSample& sample,
                                     std::uint64_t seed);

}  // namespace coala
