#include "solver/row_spectrum.h"

#include <algorithm>
#include <cmath>

#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

constexpr std::size_t kBlockRows = 256;
/// Eigenvalues of a Gram matrix below this share of the largest are rounding (its entries have errors of about
/// 2^-52 times the number of terms).
constexpr double kRankTolerance = 1e-12;

Matrix<double> in_double(MatrixView<const float> x) {
  Matrix<double> copy(x.rows, x.cols);
  for (std::size_t i = 0; i < x.rows; ++i) std::copy(x.row(i).begin(), x.row(i).end(), copy.row(i).begin());
  return copy;
}

/// The eigenpairs above rounding, largest first.
RowSpectrum significant(const SymmetricEigen& eigen) {
  RowSpectrum spectrum;
  const double largest = eigen.values.empty() ? 0.0 : eigen.values.back();
  std::size_t count = 0;
  while (count < eigen.values.size() && eigen.values[eigen.values.size() - 1 - count] > kRankTolerance * largest) {
    ++count;
  }
  spectrum.vectors = Matrix<double>(count, eigen.values.size());
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t from = eigen.values.size() - 1 - k;
    spectrum.values.push_back(eigen.values[from]);
    std::ranges::copy(eigen.vectors.row(from), spectrum.vectors.row(k).begin());
  }
  return spectrum;
}

/// From the eigenvectors of X X' to those of X'X: q = X'w / sqrt(l).
RowSpectrum from_outer(MatrixView<const float> x, const Deadline& deadline) {
  deadline.require(symmetric_eigen_s(x.rows));
  const Matrix<double> rows = in_double(x);
  Matrix<double> outer(x.rows, x.rows);
  gemm(false, true, 1.0, rows.view(), rows.view(), 0.0, outer.view());
  RowSpectrum inner = significant(symmetric_eigen(std::move(outer)));
  RowSpectrum spectrum;
  spectrum.values = inner.values;
  spectrum.vectors = Matrix<double>(inner.values.size(), x.cols);
  const Matrix<double>& weights = inner.vectors;
  gemm(false, false, 1.0, weights.view(), rows.view(), 0.0, spectrum.vectors.view());
  for (std::size_t k = 0; k < spectrum.values.size(); ++k) {
    const auto row = spectrum.vectors.row(k);
    const double size = std::sqrt(dot(std::span<const double>(row), row));
    for (double& value : row) value /= size;
  }
  return spectrum;
}

}  // namespace

RowSpectrum row_spectrum(MatrixView<const float> x, ThreadPool& pool, const Deadline& deadline) {
  if (x.rows < x.cols) return from_outer(x, deadline);
  deadline.require(symmetric_eigen_s(x.cols));
  std::vector<Matrix<double>> sums(static_cast<std::size_t>(pool.size()));
  pool.for_parts(x.rows, kBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
    Matrix<double>& sum = sums[static_cast<std::size_t>(worker)];
    sum = Matrix<double>(x.cols, x.cols);
    for (std::size_t at = begin; at < end; at += kBlockRows) {
      deadline.check();
      const Matrix<double> block = in_double(x.row_range(at, std::min(end, at + kBlockRows)));
      gemm(true, false, 1.0, block.view(), block.view(), 1.0, sum.view());
    }
  });
  Matrix<double> gram(x.cols, x.cols);
  for (const Matrix<double>& sum : sums) {
    for (std::size_t k = 0; k < sum.values().size(); ++k) gram.values()[k] += sum.values()[k];
  }
  deadline.require(symmetric_eigen_s(x.cols));
  return significant(symmetric_eigen(std::move(gram)));
}

}  // namespace coala
