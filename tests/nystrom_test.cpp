// The Nystrom sketch and its preconditioner.
#include "solver/nystrom.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "core/random.h"
#include "linalg/factorisation.h"
#include "support.h"

namespace coala {
namespace {

constexpr std::size_t kDimension = 60;

/// Orthonormal vectors in rows, from the eigenvectors of a random symmetric matrix.
Matrix<double> orthonormal_rows(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  Matrix<double> a(kDimension, kDimension);
  for (std::size_t i = 0; i < kDimension; ++i) {
    for (std::size_t j = 0; j <= i; ++j) a(i, j) = a(j, i) = random.normal();
  }
  const SymmetricEigen eigen = symmetric_eigen(std::move(a));
  Matrix<double> rows(count, kDimension);
  std::copy_n(eigen.vectors.data(), count * kDimension, rows.data());
  return rows;
}

/// out := (identity I + V' diag(values) V) in
auto low_rank(const Matrix<double>& v, const std::vector<double>& values, double identity) {
  return [&v, values, identity](std::span<const double> in, std::span<double> out) {
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = identity * in[i];
    for (std::size_t k = 0; k < values.size(); ++k) {
      double c = 0;
      for (std::size_t i = 0; i < in.size(); ++i) c += v(k, i) * in[i];
      for (std::size_t i = 0; i < in.size(); ++i) out[i] += values[k] * c * v(k, i);
    }
  };
}

double largest_defect_of_orthonormality(const Matrix<double>& u) {
  double worst = 0;
  for (std::size_t a = 0; a < u.cols(); ++a) {
    for (std::size_t b = 0; b < u.cols(); ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < u.rows(); ++i) sum += u(i, a) * u(i, b);
      worst = std::max(worst, std::abs(sum - (a == b ? 1 : 0)));
    }
  }
  return worst;
}

TEST(Nystrom, RecoversALowRankOperator) {
  // An operator of rank 5 is recovered exactly by a sketch of rank >= 5, up to rounding times the conditioning.
  const Matrix<double> v = orthonormal_rows(5, 1);
  const std::vector<double> values{900, 250, 40, 7, 1};
  const NystromPreconditioner sketch = sketch_nystrom(kDimension, 5, 0.1, 3, low_rank(v, values, 0));
  ASSERT_EQ(sketch.s.size(), 5u);
  for (std::size_t k = 0; k < 5; ++k) EXPECT_NEAR(sketch.s[k], values[k], 1e-8 * 900);
  EXPECT_LE(largest_defect_of_orthonormality(sketch.u), 1e-8);
  for (std::size_t k = 0; k < 5; ++k) {
    double c = 0;
    for (std::size_t i = 0; i < kDimension; ++i) c += sketch.u(i, k) * v(k, i);
    EXPECT_NEAR(std::abs(c), 1, 1e-6) << k;
  }
}

TEST(Nystrom, FindsTheTopOfALowRankPlusIdentity) {
  // Nystrom never overestimates an eigenvalue; with a rank above that of the spikes it comes within the tail (here
  // the identity: a few units of it for an oversampled sketch, Tropp et al. 2017).
  const Matrix<double> v = orthonormal_rows(4, 2);
  const std::vector<double> values{5000, 2000, 1000, 500};
  const NystromPreconditioner sketch = sketch_nystrom(kDimension, 12, 0.1, 4, low_rank(v, values, 1));
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_LE(sketch.s[k], values[k] + 1 + 1e-6);
    EXPECT_GE(sketch.s[k], values[k] + 1 - 15) << k;
  }
  for (std::size_t k = 1; k < sketch.s.size(); ++k) EXPECT_LE(sketch.s[k], sketch.s[k - 1]);
  for (std::size_t k = 4; k < sketch.s.size(); ++k) EXPECT_LE(sketch.s[k], 1 + 1e-6);
  EXPECT_LE(largest_defect_of_orthonormality(sketch.u), 1e-8);

  // What it is for: the preconditioned operator is close to a multiple of the identity. CG's convergence is governed
  // by the spread of r'A r against r'M r; here over random directions plus the spikes themselves.
  const auto multiply = low_rank(v, values, 1);
  std::vector<double> z(kDimension);
  std::vector<double> az(kDimension);
  for (std::size_t k = 0; k < 4; ++k) {
    sketch.apply(v.row(k), z);
    multiply(z, az);
    double c = 0;
    for (std::size_t i = 0; i < kDimension; ++i) c += v(k, i) * az[i];
    EXPECT_GE(c, 0.5) << k;  // without it: values[k] + 1
    EXPECT_LE(c, 2.0) << k;
  }
}

TEST(Nystrom, ApplyIsTheFormula) {
  Random random(5);
  NystromPreconditioner m;
  const Matrix<double> rows = orthonormal_rows(7, 6);
  m.u = Matrix<double>(kDimension, 7);
  for (std::size_t k = 0; k < 7; ++k) {
    for (std::size_t i = 0; i < kDimension; ++i) m.u(i, k) = rows(k, i);
  }
  m.s = {100, 50, 20, 10, 5, 2, 1};
  m.shift = 0.3;
  std::vector<double> r(kDimension);
  for (double& value : r) value = random.normal();
  std::vector<double> z(kDimension);
  m.apply(r, z);
  std::vector<double> expected = r;
  for (std::size_t k = 0; k < 7; ++k) {
    double c = 0;
    for (std::size_t i = 0; i < kDimension; ++i) c += m.u(i, k) * r[i];
    for (std::size_t i = 0; i < kDimension; ++i) {
      expected[i] += (1 + 0.3) * m.u(i, k) * c / (m.s[k] + 0.3) - m.u(i, k) * c;
    }
  }
  for (std::size_t i = 0; i < kDimension; ++i) EXPECT_NEAR(z[i], expected[i], 1e-13);
}

TEST(Nystrom, OddRanks) {
  const Matrix<double> v = orthonormal_rows(2, 7);
  const auto multiply = low_rank(v, {9, 4}, 1);
  std::vector<double> r(kDimension, 1.0);
  std::vector<double> z(kDimension);
  // Rank 0: the identity. Rank above the dimension: cut to it, and then exact.
  sketch_nystrom(kDimension, 0, 0.5, 1, multiply).apply(r, z);
  EXPECT_EQ(z, r);
  const NystromPreconditioner full = sketch_nystrom(kDimension, 1000, 0.5, 1, multiply);
  ASSERT_EQ(full.s.size(), kDimension);
  EXPECT_NEAR(full.s[0], 10, 1e-6);
  EXPECT_NEAR(full.s[1], 5, 1e-6);
  EXPECT_NEAR(full.s[kDimension - 1], 1, 1e-6);
  // A zero operator must not divide by zero.
  const NystromPreconditioner zero =
      sketch_nystrom(kDimension, 3, 0.5, 1,
                     [](std::span<const double>, std::span<double> out) { std::fill(out.begin(), out.end(), 0.0); });
  zero.apply(r, z);
  for (const double value : z) EXPECT_TRUE(std::isfinite(value));
}

TEST(Factorisation, EigenAndCholesky) {
  Random random(8);
  constexpr std::size_t kSize = 20;
  Matrix<double> half(kSize, kSize);
  for (double& value : half.values()) value = random.normal();
  Matrix<double> a(kSize, kSize);
  for (std::size_t i = 0; i < kSize; ++i) {
    for (std::size_t j = 0; j < kSize; ++j) {
      for (std::size_t k = 0; k < kSize; ++k) a(i, j) += half(i, k) * half(j, k) / kSize;
    }
    a(i, i) += 0.1;
  }
  const SymmetricEigen eigen = symmetric_eigen(a);
  for (std::size_t k = 0; k < kSize; ++k) {
    EXPECT_GE(eigen.values[k], eigen.values[k == 0 ? 0 : k - 1]);
    for (std::size_t i = 0; i < kSize; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < kSize; ++j) sum += a(i, j) * eigen.vectors(k, j);
      EXPECT_NEAR(sum, eigen.values[k] * eigen.vectors(k, i), 1e-12);
    }
  }
  const std::optional<Cholesky> factor = Cholesky::factor(a);
  ASSERT_TRUE(factor);
  std::vector<double> b(kSize);
  for (double& value : b) value = random.normal();
  std::vector<double> x = b;
  factor->solve(x);
  for (std::size_t i = 0; i < kSize; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < kSize; ++j) sum += a(i, j) * x[j];
    EXPECT_NEAR(sum, b[i], 1e-11);
  }
  Matrix<double> indefinite = a;
  indefinite(4, 4) = -1;
  EXPECT_FALSE(Cholesky::factor(indefinite));
  for (const double poison : {std::nan(""), HUGE_VAL}) {
    Matrix<double> bad = a;
    bad(3, 3) = poison;
    EXPECT_FALSE(Cholesky::factor(bad)) << poison;
    EXPECT_EQ(test::error_code_of([&] { symmetric_eigen(bad); }), ErrorCode::BadInput) << poison;
  }
}

}  // namespace
}  // namespace coala
