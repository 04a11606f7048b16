#include "solver/moment_spectrum.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/random.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/linear.h"

namespace coala {
namespace {

/// Up to here all eigenvectors are made.
constexpr std::size_t kWholeDimensions = 512;
/// Beyond, this many. Iterations hardly fall with more, while products with them cost more (docs/benchmarks.md).
constexpr std::size_t kRank = 192;
/// Rows that the leading eigenvectors are estimated from: they shape steps and precondition, no result rests on them.
constexpr std::size_t kSampleRows = 2048;
constexpr int kRounds = 1;

/// All eigenpairs of a matrix; an empty spectrum when it is not finite, which is the solver's to refuse.
MomentSpectrum whole_spectrum(Matrix<double> moments) {
  const std::size_t d = moments.rows();
  MomentSpectrum spectrum;
  spectrum.vectors = Matrix<float>(0, d);
  if (!std::ranges::all_of(moments.values(), [](double value) { return std::isfinite(value); })) return spectrum;
  const SymmetricEigen eigen = symmetric_eigen(std::move(moments));
  spectrum.vectors = Matrix<float>(d, d);
  for (std::size_t k = 0; k < d; ++k) {
    const std::size_t from = d - 1 - k;  // ascending there
    spectrum.values.push_back(std::max(eigen.values[from], 0.0));
    std::ranges::transform(eigen.vectors.row(from), spectrum.vectors.row(k).begin(),
                           [](double value) { return static_cast<float>(value); });
  }
  const auto size = static_cast<double>(d);
  spectrum.flops = 10 * size * size * size;
  return spectrum;
}

/// Some of the rows, spread evenly, each times the root of its weight: what A'A is to be of.
/// @param sides  0: x (differences), 1: also both responses of a pair, at half the weight
Matrix<float> sample_rows(const DesignRows<float>& rows, std::span<const float> weights, bool sides) {
  const std::size_t d = rows.dimension();
  const std::size_t n = rows.rows();
  const std::size_t count = std::min(n, kSampleRows);
  const std::size_t each = sides ? 3 : 1;
  Matrix<float> sample(each * count, d);
  std::vector<float> plus(d);
  std::vector<float> minus(d);
  std::size_t first = 0;
  std::size_t k = 0;
  for (const auto& segment : rows.segments) {
    for (; k < count && k * n / count < first + segment.plus.rows(); ++k) {
      const std::size_t i = k * n / count;
      const double weight = static_cast<double>(weights[i]) * static_cast<double>(n) / static_cast<double>(count);
      const auto root = static_cast<float>(std::sqrt(weight));
      const auto half = static_cast<float>(std::sqrt(0.5 * weight));
      rows.read(segment.plus, i - first, 0, plus);
      if (segment.minus.rows() > 0) rows.read(segment.minus, i - first, 0, minus);
      const auto difference = sample.row(each * k);
      for (std::size_t j = 0; j < d; ++j) difference[j] = root * (plus[j] - minus[j]);
      for (std::size_t j = 0; sides && j < d; ++j) {
        sample(each * k + 1, j) = half * plus[j];
        sample(each * k + 2, j) = half * minus[j];
      }
    }
    first += segment.plus.rows();
  }
  return sample;
}

MomentSpectrum sampled_spectrum(const DesignRows<float>& rows, std::span<const float> weights, bool sides,
                                ThreadPool& pool) {
  const Matrix<float> sample = sample_rows(rows, weights, sides);
  if (!std::ranges::all_of(sample.values(), [](float value) { return std::isfinite(value); })) {
    MomentSpectrum none;
    none.vectors = Matrix<float>(0, rows.dimension());
    return none;
  }
  return leading_spectrum(sample.view(), spectrum_rank(rows.dimension()), kRounds, pool);
}

/// S from all of its eigenpairs.
Matrix<double> moments_of(const MomentSpectrum& spectrum) {
  const std::size_t d = spectrum.dimension();
  Matrix<double> vectors(d, d);
  Matrix<double> scaled(d, d);
  for (std::size_t k = 0; k < d; ++k) {
    for (std::size_t j = 0; j < d; ++j) {
      vectors(k, j) = spectrum.vectors(k, j);
      scaled(k, j) = spectrum.values[k] * vectors(k, j);
    }
  }
  Matrix<double> moments(d, d);
  gemm(true, false, 1.0, vectors.view(), scaled.view(), 0.0, moments.view());
  return moments;
}

double gram_flops(const DesignRows<float>& rows) {
  const auto d = static_cast<double>(rows.dimension());
  return static_cast<double>(rows.rows()) * d * d;  // half of the products: it is symmetric
}

/// to = from Q', blocks of rows by themselves.
void multiply_by_rows(MatrixView<const float> from, const Matrix<float>& q, Matrix<float>& to, ThreadPool& pool) {
  constexpr std::size_t kRows = 128;
  pool.for_parts((from.rows + kRows - 1) / kRows, 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) {
      const std::size_t at = k * kRows;
      const std::size_t last = std::min(at + kRows, from.rows);
      gemm(false, true, 1.0f, from.row_range(at, last), q.view(), 0.0f, to.view().row_range(at, last));
    }
  });
}

/// to = left' right, strips of columns by themselves.
void multiply_across(const Matrix<float>& left, MatrixView<const float> right, Matrix<float>& to, ThreadPool& pool) {
  constexpr std::size_t kColumns = 256;
  pool.for_parts((right.cols + kColumns - 1) / kColumns, 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) {
      const std::size_t at = k * kColumns;
      const std::size_t width = std::min(kColumns, right.cols - at);
      gemm(true, false, 1.0f, left.view(), MatrixView<const float>(right.data + at, right.rows, width, right.stride),
           0.0f, MatrixView<float>(to.data() + at, to.rows(), width, to.cols()));
    }
  });
}

}  // namespace

std::size_t spectrum_rank(std::size_t dimension) {
  return dimension <= kWholeDimensions ? dimension : kRank;
}

MomentSpectrum row_moments(const DesignRows<float>& rows, std::span<const float> weights, ThreadPool& pool) {
  if (spectrum_rank(rows.dimension()) < rows.dimension()) return sampled_spectrum(rows, weights, false, pool);
  MomentSpectrum spectrum = whole_spectrum(weighted_gram(rows, weights, pool));
  spectrum.flops += gram_flops(rows);
  return spectrum;
}

MomentSpectrum gated_moments(const DesignRows<float>& rows, std::span<const float> weights,
                             const MomentSpectrum& of_rows, ThreadPool& pool) {
  if (!rows.pairwise() || of_rows.rank() == 0) {
    MomentSpectrum same = of_rows;
    same.flops = 0;
    return same;
  }
  if (!of_rows.whole()) return sampled_spectrum(rows, weights, true, pool);
  DesignRows<float> sides{{}, rows.transform};
  std::vector<float> side_weights;
  for (const auto& segment : rows.segments) {
    const auto own = weights.subspan(side_weights.size() / 2, segment.plus.rows());
    for (const auto& side : {segment.plus, segment.minus}) sides.segments.push_back({side, {}});
    for (int side = 0; side < 2; ++side) side_weights.insert(side_weights.end(), own.begin(), own.end());
  }
  const Matrix<double> single = weighted_gram(sides, side_weights, pool);
  Matrix<double> moments = moments_of(of_rows);
  for (std::size_t k = 0; k < moments.values().size(); ++k) moments.values()[k] += 0.5 * single.values()[k];
  MomentSpectrum spectrum = whole_spectrum(std::move(moments));
  spectrum.flops += gram_flops(sides);
  return spectrum;
}

MomentSpectrum leading_spectrum(MatrixView<const float> a, std::size_t rank, int rounds, ThreadPool& pool) {
  constexpr std::uint64_t kSeed = 0x5bec7a1;  // any: a subspace that random vectors miss has probability zero
  const std::size_t d = a.cols;
  rank = std::min({rank, d, a.rows});
  Random random(kSeed);
  Matrix<float> basis(rank, d);
  for (float& value : basis.values()) value = static_cast<float>(random.normal());
  orthonormalise_rows(basis);
  Matrix<float> coordinates(a.rows, rank);
  for (int round = 0; round < rounds; ++round) {
    multiply_by_rows(a, basis, coordinates, pool);
    multiply_across(coordinates, a, basis, pool);
    orthonormalise_rows(basis);
  }
  // Eigenpairs inside the subspace.
  multiply_by_rows(a, basis, coordinates, pool);
  Matrix<float> product(rank, rank);
  multiply_across(coordinates, coordinates.view(), product, pool);
  Matrix<double> inside(rank, rank);
  for (std::size_t i = 0; i < rank; ++i) {
    for (std::size_t j = 0; j < rank; ++j) inside(i, j) = 0.5 * (static_cast<double>(product(i, j)) + product(j, i));
  }
  const SymmetricEigen eigen = symmetric_eigen(std::move(inside));
  Matrix<float> turn(rank, rank);  // transposed, leading ones first
  MomentSpectrum spectrum;
  double all = 0;
  for (std::size_t i = 0; i < a.rows; ++i) all += dot(a.row(i), a.row(i));
  for (std::size_t k = 0; k < rank; ++k) {
    const std::size_t from = rank - 1 - k;
    spectrum.values.push_back(std::max(eigen.values[from], 0.0));
    all -= spectrum.values.back();
    for (std::size_t j = 0; j < rank; ++j) turn(j, k) = static_cast<float>(eigen.vectors(from, j));
  }
  spectrum.vectors = Matrix<float>(rank, d);
  multiply_across(turn, basis.view(), spectrum.vectors, pool);
  if (rank < d) spectrum.rest = std::max(all, 0.0) / static_cast<double>(d - rank);
  const auto r = static_cast<double>(rank);
  spectrum.flops = 2 * static_cast<double>(a.rows) * static_cast<double>(d) * r * (2 * rounds + 1) +
                   4 * static_cast<double>(d) * r * r * (rounds + 1.5) + 10 * r * r * r;
  return spectrum;
}

}  // namespace coala
