#include "solver/kronecker.h"

#include <algorithm>
#include <cmath>

#include "linalg/blas.h"

namespace coala {
namespace {

constexpr std::size_t kBlockRows = 256;
/// Largest order k P of the leading block: its sums then cost about as much as forming X'X.
constexpr std::size_t kMostLeading = 640;

Matrix<double> in_double(MatrixView<const float> x) {
  Matrix<double> copy(x.rows, x.cols);
  for (std::size_t i = 0; i < x.rows; ++i) std::copy(x.row(i).begin(), x.row(i).end(), copy.row(i).begin());
  return copy;
}

void add_to(Matrix<double>& sum, const std::vector<Matrix<double>>& parts) {
  for (const Matrix<double>& part : parts) {
    for (std::size_t k = 0; k < part.values().size(); ++k) sum.values()[k] += part.values()[k];
  }
}

}  // namespace

GateMoments gate_moments(MatrixView<const float> x, const Matrix<std::uint8_t>& pattern, const RowSpectrum& spectrum,
                         ThreadPool& pool, const MomentSettings& settings, const Deadline& deadline) {
  const std::size_t groups = pattern.cols();
  const std::size_t rank = spectrum.values.size();
  const std::size_t pairs = groups * (groups + 1) / 2;
  GateMoments moments;
  if (rank == 0) return moments;
  moments.leading_count = std::min({settings.leading, rank, kMostLeading / groups});
  const std::size_t size = moments.leading_count * groups;
  const bool per_direction = settings.per_direction && pairs <= 4 * rank;

  // Coordinates are divided by the largest singular value, so that their squares are numbers of size one.
  const double scale = 1 / std::sqrt(spectrum.values.front());
  const auto workers = static_cast<std::size_t>(pool.size());
  std::vector<Matrix<double>> share_sums(workers);
  std::vector<Matrix<double>> leading_sums(workers);
  const std::size_t share_rows = per_direction ? rank : groups;
  const std::size_t share_cols = per_direction ? pairs : groups;
  pool.for_parts(x.rows, kBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
    Matrix<double>& shares = share_sums[static_cast<std::size_t>(worker)];
    Matrix<double>& leading = leading_sums[static_cast<std::size_t>(worker)];
    shares = Matrix<double>(share_rows, share_cols);
    leading = Matrix<double>(size, size);
    Matrix<double> coordinates(kBlockRows, rank);
    Matrix<double> squares(kBlockRows, share_rows);  // per direction, or of the whole row in its open gates
    Matrix<double> open(kBlockRows, share_cols);     // pairs of gates that are both open, or gates
    Matrix<double> gated(kBlockRows, size);
    for (std::size_t at = begin; at < end; at += kBlockRows) {
      deadline.check();
      const std::size_t count = std::min(kBlockRows, end - at);
      const Matrix<double> block = in_double(x.row_range(at, at + count));
      gemm(false, true, scale, block.view(), spectrum.vectors.view(), 0.0,
           MatrixView<double>(coordinates.data(), count, rank));
      for (std::size_t i = 0; i < count; ++i) {
        const auto t = coordinates.row(i);
        const auto is_open = [&](std::size_t p) { return pattern(at + i, p) != 0; };
        const double whole = dot(std::span<const double>(t), t);
        for (std::size_t j = 0; per_direction && j < rank; ++j) squares(i, j) = t[j] * t[j];
        std::size_t pair = 0;
        for (std::size_t p = 0; p < groups; ++p) {
          if (per_direction) {
            for (std::size_t q = 0; q <= p; ++q) open(i, pair++) = is_open(p) && is_open(q) ? 1.0 : 0.0;
          } else {
            open(i, p) = is_open(p) ? 1.0 : 0.0;
            squares(i, p) = whole * open(i, p);
          }
          for (std::size_t a = 0; a < moments.leading_count; ++a) gated(i, a * groups + p) = is_open(p) ? t[a] : 0.0;
        }
      }
      gemm(true, false, 1.0, MatrixView<const double>(squares.data(), count, share_rows),
           MatrixView<const double>(open.data(), count, share_cols), 1.0, shares.view());
      const MatrixView<const double> used(gated.data(), count, size);
      if (size > 0) gemm(true, false, 1.0, used, used, 1.0, leading.view());
    }
  });

  Matrix<double> share_sum(share_rows, share_cols);
  add_to(share_sum, share_sums);
  double trace = 0;
  for (const double value : spectrum.values) trace += value / spectrum.values.front();
  if (!per_direction) {
    for (double& value : share_sum.values()) value /= trace;
    moments.shares.push_back(std::move(share_sum));
  } else {
    for (std::size_t j = 0; j < rank; ++j) {
      Matrix<double>& share = moments.shares.emplace_back(groups, groups);
      std::size_t pair = 0;
      for (std::size_t p = 0; p < groups; ++p) {
        for (std::size_t q = 0; q <= p; ++q) {
          share(p, q) = share(q, p) = share_sum(j, pair++) * spectrum.values.front() / spectrum.values[j];
        }
      }
    }
  }
  moments.leading = Matrix<double>(size, size);
  add_to(moments.leading, leading_sums);
  for (double& value : moments.leading.values()) value *= spectrum.values.front();
  return moments;
}

void NormalSystem::apply(std::span<const double> w, std::span<double> out) {
  const std::size_t groups = normal_->groups();
  const std::size_t d = normal_->dimension();
  if (in_.rows() == 0) in_ = product_ = Matrix<float>(groups, d);
  for (std::size_t k = 0; k < w.size(); ++k) out[k] = coefficients_.identity * w[k];
  const std::size_t rank = spectrum_->values.size();
  if (coefficients_.gram > 0 && rank > 0) {
    Matrix<double> coordinates(groups, rank);
    gemm(false, true, 1.0, MatrixView<const double>(w.data(), groups, d), spectrum_->vectors.view(), 0.0,
         coordinates.view());
    for (std::size_t p = 0; p < groups; ++p) {
      for (std::size_t j = 0; j < rank; ++j) coordinates(p, j) *= coefficients_.gram * spectrum_->values[j];
    }
    gemm(false, false, 1.0, static_cast<const Matrix<double>&>(coordinates).view(), spectrum_->vectors.view(), 1.0,
         MatrixView<double>(out.data(), groups, d));
  }
  if (coefficients_.loss > 0 && rank > 0) {
    // In units in which X has size one, so that neither huge nor tiny features leave the range of float.
    const double unit = std::sqrt(spectrum_->values.front());
    for (std::size_t k = 0; k < w.size(); ++k) in_.values()[k] = static_cast<float>(w[k] / unit);
    normal_->apply(static_cast<const Matrix<float>&>(in_).view(), product_.view());
    const double factor = coefficients_.loss * unit;
    for (std::size_t k = 0; k < w.size(); ++k) out[k] += factor * static_cast<double>(product_.values()[k]);
  }
}

KroneckerPreconditioner::KroneckerPreconditioner(const RowSpectrum& spectrum, const GateMoments& moments,
                                                 std::size_t groups, const Deadline& deadline)
    : spectrum_(&spectrum), moments_(&moments), groups_(groups) {
  for (const Matrix<double>& share : moments.shares) {
    deadline.require(symmetric_eigen_s(groups));
    SymmetricEigen& eigen = eigen_.emplace_back(symmetric_eigen(share));
    for (double& value : eigen.values) value = std::max(value, 0.0);
  }
}

void KroneckerPreconditioner::set(const NormalCoefficients& coefficients) {
  coefficients_ = coefficients;
  const std::size_t size = moments_->leading_count * groups_;
  leading_.reset();
  if (size == 0) return;
  Matrix<double> block(size, size);
  for (std::size_t k = 0; k < block.values().size(); ++k) {
    block.values()[k] = coefficients.loss * moments_->leading.values()[k];
  }
  for (std::size_t k = 0; k < size; ++k) {
    block(k, k) += coefficients.identity + coefficients.gram * spectrum_->values[k / groups_];
  }
  leading_ = Cholesky::factor(std::move(block));  // empty only when rounding swamps the identity: then the shares serve
}

void KroneckerPreconditioner::apply(std::span<const double> r, std::span<double> z) const {
  const std::size_t rank = spectrum_->values.size();
  const std::size_t d = spectrum_->vectors.cols();
  const double outside = 1 / coefficients_.identity;  // M is a multiple of the identity off the span of the rows
  for (std::size_t k = 0; k < r.size(); ++k) z[k] = outside * r[k];
  if (rank == 0) return;
  Matrix<double> in(rank, groups_);  // r in the basis Q: one row of P numbers per direction
  gemm(false, true, 1.0, spectrum_->vectors.view(), MatrixView<const double>(r.data(), groups_, d), 0.0, in.view());
  const std::size_t first = leading_ ? moments_->leading_count : 0;
  Matrix<double> change(rank, groups_);
  if (leading_) {
    std::vector<double> part(in.data(), in.data() + first * groups_);
    leading_->solve(part);
    for (std::size_t k = 0; k < part.size(); ++k) change.values()[k] = part[k] - outside * in.values()[k];
  }
  std::vector<double> rotated(groups_);
  for (std::size_t j = first; j < rank; ++j) {
    const SymmetricEigen& eigen = eigen_[eigen_.size() == 1 ? 0 : j];
    const double own = coefficients_.identity + coefficients_.gram * spectrum_->values[j];
    for (std::size_t k = 0; k < groups_; ++k) {
      rotated[k] = dot(eigen.vectors.row(k), std::span<const double>(in.row(j))) *
                   (1 / (own + coefficients_.loss * spectrum_->values[j] * eigen.values[k]) - outside);
    }
    for (std::size_t k = 0; k < groups_; ++k) {
      for (std::size_t p = 0; p < groups_; ++p) change(j, p) += rotated[k] * eigen.vectors(k, p);
    }
  }
  gemm(true, false, 1.0, static_cast<const Matrix<double>&>(change).view(), spectrum_->vectors.view(), 1.0,
       MatrixView<double>(z.data(), groups_, d));
}

}  // namespace coala
