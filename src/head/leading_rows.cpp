#include "head/leading_rows.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "core/half.h"
#include "core/progress.h"
#include "linalg/blas.h"

namespace coala {
namespace {

/// The power of two that brings the longest row of all sides into the range of F16 with room to spare.
float unit_of(const TrainingRows& rows, ThreadPool& pool) {
  constexpr float kLongest = 0x1p14f;
  const std::size_t sides = rows.from_pairs() ? 2 : 1;
  std::vector<double> longest(sides * rows.responses());
  pool.for_parts(longest.size(), 64, [&](int, std::size_t begin, std::size_t end) {
    std::vector<float> x(rows.dimension());
    for (std::size_t i = begin; i < end; ++i) {
      rows.read(i / rows.responses(), i % rows.responses(), x);
      longest[i] = dot(std::span<const float>(x), x);
    }
  });
  const double size = std::sqrt(*std::ranges::max_element(longest));
  float unit = 1;
  while (size * static_cast<double>(unit) > static_cast<double>(kLongest) && unit > 0x1p-40f) unit /= 2;
  return unit;
}

/// One side's rows in the directions, times the unit.
StoredRows coordinates_of(const TrainingRows& rows, std::size_t side, const Matrix<float>& directions, float unit,
                          ThreadPool& pool) {
  constexpr std::size_t kBlockRows = 64;
  const std::size_t n = rows.responses();
  const std::size_t r = directions.rows();
  const auto words = std::make_shared<std::vector<std::uint16_t>>(n * r);
  pool.for_parts((n + kBlockRows - 1) / kBlockRows, 1, [&](int, std::size_t begin, std::size_t end) {
    Matrix<float> x(kBlockRows, rows.dimension());
    Matrix<float> inside(kBlockRows, r);
    for (std::size_t block = begin; block < end; ++block) {
      const std::size_t first = block * kBlockRows;
      const std::size_t count = std::min(kBlockRows, n - first);
      for (std::size_t i = 0; i < count; ++i) rows.read(side, first + i, x.row(i));
      gemm(false, true, unit, x.view().row_range(0, count), directions.view(), 0.0f, inside.view().row_range(0, count));
      std::ranges::transform(inside.values().first(count * r), words->begin() + static_cast<long>(first * r),
                             [](float value) { return f32_to_f16(value); });
    }
  });
  return {Dtype::F16, n, r, reinterpret_cast<const std::byte*>(words->data()), words};
}

}  // namespace

Matrix<float> LeadingRows::lift(const Matrix<float>& w) const {
  Matrix<float> lifted(w.rows(), spectrum.dimension());
  gemm(false, false, 1.0f, w.view(), spectrum.vectors.view(), 0.0f, lifted.view());
  return lifted;
}

HeldOut LeadingRows::lift(const HeldOut& held_out) const {
  HeldOut lifted = held_out;
  for (auto* matrices : {&lifted.gates, &lifted.weights}) {
    for (Matrix<float>& matrix : *matrices) matrix = lift(matrix);
  }
  return lifted;
}

MomentSpectrum LeadingRows::lift(const MomentSpectrum& inside, std::size_t rank) const {
  MomentSpectrum lifted;
  rank = std::min(rank, inside.rank());
  Matrix<float> kept(rank, inside.dimension());
  std::copy_n(inside.vectors.data(), kept.values().size(), kept.data());
  lifted.vectors = lift(kept);
  lifted.values.assign(inside.values.begin(), inside.values.begin() + static_cast<long>(rank));
  const std::size_t d = spectrum.dimension();
  double rest = spectrum.rest * static_cast<double>(d - spectrum.rank());
  for (std::size_t k = rank; k < inside.rank(); ++k) rest += inside.values[k];
  if (rank < d) lifted.rest = rest / static_cast<double>(d - rank);
  return lifted;
}

std::optional<LeadingRows> leading_rows(const FeatureSet& set, const TrainingRows& rows, int folds, std::uint64_t seed,
                                        ThreadPool& pool, SelectionCost& cost) {
  if (rows.dimension() <= kWholeDimensions) return std::nullopt;
  const Progress progress("leading directions of the rows");
  MomentSpectrum spectrum = sampled_moments(rows.design(), rows.targets().weights, kLeadingDirections, pool);
  cost.flops += spectrum.flops;
  if (spectrum.rank() == 0 || !(spectrum.values.front() > 0)) return std::nullopt;
  const float unit = unit_of(rows, pool);
  FeatureSet inside = set;  // shares everything but the features
  inside.chosen = inside.rejected = inside.features = StoredRows();
  if (rows.from_pairs()) {
    inside.chosen = coordinates_of(rows, 0, spectrum.vectors, unit, pool);
    inside.rejected = coordinates_of(rows, 1, spectrum.vectors, unit, pool);
  } else {
    inside.features = coordinates_of(rows, 0, spectrum.vectors, unit, pool);
  }
  cost.flops += 2 * (rows.from_pairs() ? 2.0 : 1.0) * static_cast<double>(rows.responses()) *
                static_cast<double>(rows.dimension()) * static_cast<double>(spectrum.rank());
  FeatureTransform transform = FeatureTransform::identity(spectrum.rank());
  transform.scale.assign(spectrum.rank(), 1 / unit);
  TrainingRows coordinates(inside, transform, rows.targets().loss, folds, seed);
  return LeadingRows{std::move(spectrum), std::move(coordinates)};
}

}  // namespace coala
