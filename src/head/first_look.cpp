#include "head/first_look.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "core/half.h"
#include "core/progress.h"
#include "core/random.h"
#include "features/feature_subset.h"
#include "linalg/blas.h"

namespace coala {
namespace {

/// The power of two that brings the longest of the taken rows, of all sides, into the range of F16 with room to spare.
float unit_of(const TrainingRows& rows, const std::vector<std::size_t>& taken, ThreadPool& pool) {
  constexpr float kLongest = 0x1p14f;
  const std::size_t sides = rows.from_pairs() ? 2 : 1;
  std::vector<double> longest(sides * taken.size());
  pool.for_parts(longest.size(), 64, [&](int, std::size_t begin, std::size_t end) {
    std::vector<float> x(rows.dimension());
    for (std::size_t i = begin; i < end; ++i) {
      rows.read(i / taken.size(), taken[i % taken.size()], x);
      longest[i] = dot(std::span<const float>(x), x);
    }
  });
  const double size = std::sqrt(*std::ranges::max_element(longest));
  float unit = 1;
  while (size * static_cast<double>(unit) > static_cast<double>(kLongest) && unit > 0x1p-40f) unit /= 2;
  return unit;
}

/// One side's rows, those that are taken, in the directions, times the unit.
StoredRows coordinates_of(const TrainingRows& rows, const std::vector<std::size_t>& taken, std::size_t side,
                          const Matrix<float>& directions, float unit, ThreadPool& pool) {
  constexpr std::size_t kBlockRows = 64;
  const std::size_t n = taken.size();
  const std::size_t r = directions.rows();
  const auto words = std::make_shared<std::vector<std::uint16_t>>(n * r);
  pool.for_parts((n + kBlockRows - 1) / kBlockRows, 1, [&](int, std::size_t begin, std::size_t end) {
    Matrix<float> x(kBlockRows, rows.dimension());
    Matrix<float> inside(kBlockRows, r);
    for (std::size_t block = begin; block < end; ++block) {
      const std::size_t first = block * kBlockRows;
      const std::size_t count = std::min(kBlockRows, n - first);
      for (std::size_t i = 0; i < count; ++i) rows.read(side, taken[first + i], x.row(i));
      gemm(false, true, unit, x.view().row_range(0, count), directions.view(), 0.0f, inside.view().row_range(0, count));
      std::ranges::transform(inside.values().first(count * r), words->begin() + static_cast<long>(first * r),
                             [](float value) { return f32_to_f16(value); });
    }
  });
  return {Dtype::F16, n, r, reinterpret_cast<const std::byte*>(words->data()), words};
}

std::vector<std::size_t> all_rows(const FeatureSet& set) {
  std::vector<std::size_t> all(set.rows());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

/// `count` rows drawn at random, in their order; all of them when there are no more than `enough`. Of labelled rows
/// enough of either class.
std::vector<std::size_t> draw_rows(const FeatureSet& set, std::size_t count, std::size_t enough, std::uint64_t seed) {
  constexpr std::ptrdiff_t kFewestOfAClass = 500;
  std::vector<std::size_t> taken = all_rows(set);
  if (set.rows() <= enough) return taken;
  Random random(seed);
  std::vector<std::size_t> drawn = taken;
  for (std::size_t k = 0; k < count; ++k) std::swap(drawn[k], drawn[k + random.below(drawn.size() - k)]);
  drawn.resize(count);
  std::ranges::sort(drawn);
  if (set.kind == FeatureKind::Pairs) return drawn;
  const auto positive = std::ranges::count_if(drawn, [&](std::size_t i) { return set.labels[i] == 1; });
  const auto fewer = std::min(positive, static_cast<std::ptrdiff_t>(drawn.size()) - positive);
  return fewer < kFewestOfAClass ? taken : drawn;
}

/// The taken rows with the features as they are stored, or with their coordinates.
TrainingRows rows_of(const FeatureSet& set, const FeatureTransform& transform, const TrainingRows& rows,
                     const std::vector<std::size_t>& taken, const MomentSpectrum* spectrum, int folds,
                     std::uint64_t seed, ThreadPool& pool) {
  const Loss loss = rows.targets().loss;
  if (spectrum == nullptr) return {subset(set, taken), transform, loss, folds, seed, rows.backend()};
  FeatureSet inside = taken.size() < set.rows() ? subset(set, taken) : set;  // shares everything but the features
  inside.chosen = inside.rejected = inside.features = StoredRows();
  const float unit = unit_of(rows, taken, pool);
  if (rows.from_pairs()) {
    inside.chosen = coordinates_of(rows, taken, 0, spectrum->vectors, unit, pool);
    inside.rejected = coordinates_of(rows, taken, 1, spectrum->vectors, unit, pool);
  } else {
    inside.features = coordinates_of(rows, taken, 0, spectrum->vectors, unit, pool);
  }
  FeatureTransform scale = FeatureTransform::identity(spectrum->rank());
  scale.scale.assign(spectrum->rank(), 1 / unit);
  return {inside, scale, loss, folds, seed, rows.backend()};
}

/// The taken rows with the features as they are stored, or with their coordinates; none when they would be in other
/// folds than they are: a handful of prompts is dealt out to the folds by who is there.
std::optional<TrainingRows> rows_to_look_at(const FeatureSet& set, const FeatureTransform& transform,
                                            const TrainingRows& rows, const std::vector<std::size_t>& taken,
                                            const MomentSpectrum* spectrum, int folds, std::uint64_t seed,
                                            ThreadPool& pool) {
  const std::vector<int>& fold = rows.fold();
  std::set<int> of_taken;
  for (const std::size_t i : taken) of_taken.insert(fold[i]);
  if (of_taken != std::set<int>(fold.begin(), fold.end())) return std::nullopt;
  TrainingRows some = rows_of(set, transform, rows, taken, spectrum, folds, seed, pool);
  for (std::size_t k = 0; k < taken.size(); ++k) {
    if (some.fold()[k] != fold[taken[k]]) return std::nullopt;
  }
  return some;
}

/// Makes a candidate's penalty of some rows, a share of all, the one that is likely as good for all; see Look::lift().
/// With the inverse of the share the other way round.
void carry_over(Candidate& candidate, double share) {
  const double ratio = candidate.linear ? share : std::sqrt(share);
  candidate.penalty_ratio *= ratio;
  candidate.penalty *= ratio / share;
}

}  // namespace

Matrix<float> Look::lift(const Matrix<float>& w) const {
  if (!spectrum) return w;
  Matrix<float> lifted(w.rows(), spectrum->dimension());
  gemm(false, false, 1.0f, w.view(), spectrum->vectors.view(), 0.0f, lifted.view());
  return lifted;
}

HeldOut Look::lift(const HeldOut& held_out) const {
  HeldOut lifted = held_out;
  for (auto* matrices : {&lifted.gates, &lifted.weights}) {
    for (Matrix<float>& matrix : *matrices) matrix = lift(matrix);
  }
  carry_over(lifted.candidate, share);
  return lifted;
}

MomentSpectrum Look::lift(const MomentSpectrum& inside, std::size_t rank) const {
  MomentSpectrum lifted;
  rank = spectrum ? std::min(rank, inside.rank()) : inside.rank();
  Matrix<float> kept(rank, inside.dimension());
  std::copy_n(inside.vectors.data(), kept.values().size(), kept.data());
  lifted.vectors = lift(kept);
  const std::size_t d = lifted.vectors.cols();
  double rest = spectrum ? spectrum->rest * static_cast<double>(d - spectrum->rank()) : 0.0;
  for (std::size_t k = 0; k < inside.rank(); ++k) {
    if (k < rank) {
      lifted.values.push_back(inside.values[k] / share);
    } else {
      rest += inside.values[k] / share;
    }
  }
  if (rank < d) lifted.rest = rest / static_cast<double>(d - rank);
  return lifted;
}

HeldOut Look::narrow(const HeldOut& of_all) const {
  HeldOut narrowed = of_all;
  carry_over(narrowed.candidate, 1 / share);
  return narrowed;
}

std::optional<Look> first_look(const FeatureSet& set, const FeatureTransform& transform, const TrainingRows& rows,
                               int folds, std::uint64_t seed, ThreadPool& pool, SelectionCost& cost) {
  std::vector<std::size_t> taken = draw_rows(set, kFirstRows, kFirstRows + kFirstRows / 2, seed);
  const bool many_columns = rows.dimension() > kWholeDimensions;
  if (taken.size() == set.rows() && !many_columns) return std::nullopt;
  const Progress progress("first look at the rows");
  std::optional<MomentSpectrum> spectrum;
  if (many_columns) {
    spectrum = sampled_moments(rows.design(), rows.targets().weights, kLeadingDirections, pool);
    cost.flops += spectrum->flops;
    if (spectrum->rank() == 0 || !(spectrum->values.front() > 0)) return std::nullopt;
  }
  const MomentSpectrum* const directions = spectrum ? &*spectrum : nullptr;
  std::optional<TrainingRows> some = rows_to_look_at(set, transform, rows, taken, directions, folds, seed, pool);
  if (!some) {
    if (!many_columns) return std::nullopt;
    taken = all_rows(set);
    some = rows_to_look_at(set, transform, rows, taken, directions, folds, seed, pool);
  }
  if (many_columns) {
    cost.flops += 2 * (rows.from_pairs() ? 2.0 : 1.0) * static_cast<double>(taken.size()) *
                  static_cast<double>(rows.dimension()) * static_cast<double>(spectrum->rank());
  }
  const double share = taken.size() == set.rows() ? 1.0 : some->total_weight() / rows.total_weight();
  return Look{std::move(spectrum), std::move(*some), share};
}

std::optional<Look> refining_look(const FeatureSet& set, const FeatureTransform& transform, const TrainingRows& rows,
                                  int folds, std::uint64_t seed, ThreadPool& pool) {
  std::vector<std::size_t> taken = draw_rows(set, kRefiningRows, 2 * kRefiningRows, seed);
  if (taken.size() == set.rows()) return std::nullopt;
  std::optional<TrainingRows> some = rows_to_look_at(set, transform, rows, taken, nullptr, folds, seed, pool);
  if (!some) return std::nullopt;
  const double share = some->total_weight() / rows.total_weight();
  return Look{std::nullopt, std::move(*some), share};
}

}  // namespace coala
