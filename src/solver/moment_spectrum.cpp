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

/// Rows, of pairs a third as many pairs, that leading eigenvectors are estimated from.
constexpr std::size_t kSampleRows = 3072;
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

/// Some of the rows, each times the root of its weight: what A'A is to be of. A pair gives its difference, and both
/// responses at half the weight.
Matrix<float> sample_rows(const DesignRows<float>& rows, std::span<const float> weights) {
  const std::size_t d = rows.dimension();
  const std::size_t n = rows.rows();
  const bool pairs = rows.pairwise();
  const std::size_t each = pairs ? 3 : 1;
  const std::size_t count = std::min(n, kSampleRows / each);
  Matrix<float> sample(each * count, d);
  std::size_t first = 0;
  std::size_t k = 0;
  for (const auto& segment : rows.segments) {
    for (; k < count && k * n / count < first + segment.plus.rows(); ++k) {
      const std::size_t i = k * n / count;
      const double weight = static_cast<double>(weights[i]) * static_cast<double>(n) / static_cast<double>(count);
      const auto root = static_cast<float>(std::sqrt(weight));
      const auto half = static_cast<float>(std::sqrt(0.5 * weight));
      const auto x = sample.row(each * k);
      rows.read(segment.plus, i - first, 0, x);
      if (pairs) {
        const auto plus = sample.row(each * k + 1);
        const auto minus = sample.row(each * k + 2);
        std::ranges::copy(x, plus.begin());
        rows.read(segment.minus, i - first, 0, minus);
        for (std::size_t j = 0; j < d; ++j) {
          x[j] -= minus[j];
          plus[j] *= half;
          minus[j] *= half;
        }
      }
      for (float& value : x) value *= root;
    }
    first += segment.plus.rows();
  }
  return sample;
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

MomentSpectrum row_moments(const DesignRows<float>& rows, std::span<const float> weights, ThreadPool& pool) {
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

MomentSpectrum sampled_moments(const DesignRows<float>& rows, std::span<const float> weights, std::size_t rank,
                               ThreadPool& pool) {
  const Matrix<float> sample = sample_rows(rows, weights);
  if (!std::ranges::all_of(sample.values(), [](float value) { return std::isfinite(value); })) {
    MomentSpectrum none;
    none.vectors = Matrix<float>(0, rows.dimension());
    return none;
  }
  return leading_spectrum(sample.view(), rank, kRounds, pool);
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
