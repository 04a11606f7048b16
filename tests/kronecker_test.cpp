// The Kronecker-preconditioned solves of the u-step.
#include "solver/kronecker.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>

#include "reference.h"
#include "solver/conjugate_gradients.h"
#include "solver/gates.h"
#include "support.h"

namespace coala {
namespace {

using test::inner;
using test::norm;
using test::normal_matrix;

constexpr std::size_t kGroups = 4;

struct Problem {
  Matrix<float> x;
  Matrix<float> gates;
  Matrix<std::uint8_t> pattern;
  ThreadPool pool{1};
  std::unique_ptr<GatedOperator<float>> f;
  std::unique_ptr<NormalOperator<float>> normal;
  RowSpectrum spectrum;

  Problem(Matrix<float> rows, std::size_t groups, std::uint64_t seed) : x(std::move(rows)) {
    gates = draw_gates(groups, x.cols(), seed);
    const Matrix<float>& features = x;
    const Matrix<float>& directions = gates;
    pattern = gate_pattern(features.view(), directions.view(), pool);
    f = std::make_unique<GatedOperator<float>>(DesignRows<float>{{{features.view(), {}}}}, pattern, pool);
    normal = std::make_unique<NormalOperator<float>>(*f, pattern, 1, NormalMethod::Passes);
    spectrum = row_spectrum(features.view(), pool);
  }

  /// M w by plain loops in double, with the sums of absolute terms of the loss part for the error bound.
  std::vector<double> apply(const NormalCoefficients& c, const std::vector<double>& w) const {
    const std::size_t d = x.cols();
    std::vector<double> out(w.size());
    for (std::size_t k = 0; k < w.size(); ++k) out[k] = c.identity * w[k];
    for (std::size_t i = 0; i < x.rows(); ++i) {
      double z = 0;
      std::vector<double> own(pattern.cols());
      for (std::size_t p = 0; p < pattern.cols(); ++p) {
        for (std::size_t j = 0; j < d; ++j) own[p] += x(i, j) * w[p * d + j];
        if (pattern(i, p) != 0) z += own[p];
      }
      for (std::size_t p = 0; p < pattern.cols(); ++p) {
        const double factor = c.gram * own[p] + (pattern(i, p) != 0 ? c.loss * z : 0.0);
        for (std::size_t j = 0; j < d; ++j) out[p * d + j] += factor * x(i, j);
      }
    }
    return out;
  }
};

std::vector<double> random_vector(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> v(size);
  for (double& value : v) value = random.normal();
  return v;
}

double relative_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double error = 0;
  for (std::size_t k = 0; k < a.size(); ++k) error += (a[k] - b[k]) * (a[k] - b[k]);
  return std::sqrt(error) / norm(b);
}

/// Features whose columns have sizes from 1 to 1e-3, with a common mean: as ill-conditioned as real ones.
Matrix<float> uneven_matrix(std::size_t n, std::size_t d, std::uint64_t seed) {
  Random random(seed);
  Matrix<float> x(n, d);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < d; ++j) {
      const double size = std::pow(10.0, -3.0 * static_cast<double>(j) / static_cast<double>(d));
      x(i, j) = static_cast<float>(size * (random.normal() + 0.7));
    }
  }
  return x;
}

TEST(RowSpectrum, DiagonalisesTheGramMatrixFromEitherSide) {
  for (const auto& [n, d] : {std::pair<std::size_t, std::size_t>{60, 9}, {9, 60}, {12, 12}}) {
    SCOPED_TRACE(::testing::Message() << n << " x " << d);
    const Problem problem(uneven_matrix(n, d, 1), 2, 1);
    const RowSpectrum& s = problem.spectrum;
    ASSERT_EQ(s.values.size(), std::min(n, d));
    const double largest = s.values.front();
    for (std::size_t a = 0; a < s.values.size(); ++a) {
      for (std::size_t b = 0; b < s.values.size(); ++b) {
        double gram = 0;
        for (std::size_t i = 0; i < n; ++i) {
          gram += inner(s.vectors.row(a), problem.x.view().row(i)) * inner(s.vectors.row(b), problem.x.view().row(i));
        }
        // Rounding in double is relative to the largest eigenvalue.
        EXPECT_NEAR(gram, a == b ? s.values[a] : 0.0, 1e-12 * largest);
        EXPECT_NEAR(inner(s.vectors.row(a), s.vectors.row(b)), a == b ? 1.0 : 0.0, 1e-8);
      }
    }
  }
}

TEST(RowSpectrum, LeavesOutDirectionsWithoutRows) {
  Random random(2);
  Matrix<float> x = normal_matrix(40, 6, random);
  for (std::size_t i = 0; i < 40; ++i) {
    x(i, 1) = 0;            // a constant column
    x(i, 4) = 2 * x(i, 3);  // a multiple of another, exact in float
  }
  EXPECT_EQ(Problem(std::move(x), 1, 1).spectrum.values.size(), 4u);
  EXPECT_TRUE(Problem(Matrix<float>(5, 3), 1, 1).spectrum.values.empty());
}

TEST(NormalSystem, IsTheFormula) {
  for (const auto& [n, d] : {std::pair<std::size_t, std::size_t>{70, 8}, {6, 20}}) {
    Problem problem(uneven_matrix(n, d, 3), kGroups, 4);
    NormalSystem system(*problem.normal, problem.spectrum);
    for (const NormalCoefficients& c : {NormalCoefficients{1, 1, 2e4}, NormalCoefficients{3, 0, 0.5}}) {
      system.set(c);
      const std::vector<double> w = random_vector(kGroups * d, 5);
      std::vector<double> out(w.size());
      system.apply(w, out);
      const std::vector<double> expected = problem.apply(c, w);
      // Single precision of sums of d, then n terms; terms of both signs cancel by less than a hundredfold here.
      EXPECT_LE(relative_difference(out, expected), 100 * test::rounding_bound(n + d));
    }
  }
}

TEST(GateMoments, AreTheSums) {
  const Problem problem(uneven_matrix(300, 7, 6), kGroups, 7);
  ThreadPool pool(2);
  const MatrixView<const float> x = problem.x.view();
  const RowSpectrum& s = problem.spectrum;
  const auto coordinate = [&](std::size_t i, std::size_t j) { return inner(s.vectors.row(j), x.row(i)); };
  for (const bool per_direction : {true, false}) {
    const GateMoments moments = gate_moments(x, problem.pattern, s, pool, {3, per_direction});
    ASSERT_EQ(moments.shares.size(), per_direction ? 7u : 1u);
    ASSERT_EQ(moments.leading_count, 3u);
    for (std::size_t p = 0; p < kGroups; ++p) {
      for (std::size_t q = 0; q < kGroups; ++q) {
        double whole = 0;
        double trace = 0;
        for (std::size_t j = 0; j < 7; ++j) {
          double sum = 0;
          for (std::size_t i = 0; i < x.rows; ++i) {
            sum += problem.pattern(i, p) * problem.pattern(i, q) * coordinate(i, j) * coordinate(i, j);
          }
          whole += sum;
          trace += s.values[j];
          if (per_direction) {
            EXPECT_NEAR(moments.shares[j](p, q), sum / s.values[j], 1e-9);
          }
        }
        if (!per_direction) {
          EXPECT_NEAR(moments.shares[0](p, q), whole / trace, 1e-12);
        }
        for (std::size_t a = 0; a < 3; ++a) {
          for (std::size_t b = 0; b < 3; ++b) {
            double sum = 0;
            for (std::size_t i = 0; i < x.rows; ++i) {
              sum += problem.pattern(i, p) * problem.pattern(i, q) * coordinate(i, a) * coordinate(i, b);
            }
            EXPECT_NEAR(moments.leading(a * kGroups + p, b * kGroups + q), sum, 1e-12 * s.values[0]);
          }
        }
      }
    }
  }
}

TEST(KroneckerPreconditioner, IsSymmetricAndPositiveDefinite) {
  for (const auto& [n, d] : {std::pair<std::size_t, std::size_t>{90, 6}, {5, 11}}) {
    Problem problem(uneven_matrix(n, d, 8), kGroups, 9);
    const GateMoments moments =
        gate_moments(problem.x.view(), problem.pattern, problem.spectrum, problem.pool, {2, true});
    KroneckerPreconditioner preconditioner(problem.spectrum, moments, kGroups);
    preconditioner.set({1, 1, 200});
    const std::size_t size = kGroups * d;
    Matrix<double> inverse(size, size);
    for (std::size_t k = 0; k < size; ++k) {
      std::vector<double> unit(size);
      unit[k] = 1;
      preconditioner.apply(unit, inverse.row(k));
    }
    for (std::size_t a = 0; a < size; ++a) {
      for (std::size_t b = 0; b < a; ++b) EXPECT_NEAR(inverse(a, b), inverse(b, a), 1e-12);
    }
    const SymmetricEigen eigen = symmetric_eigen(inverse);
    EXPECT_GT(eigen.values.front(), 0.0);
    EXPECT_LE(eigen.values.back(), 1 + 1e-12);  // M is at least the identity
  }
}

TEST(KroneckerPreconditioner, IsExactWhenAllIsLeading) {
  Problem problem(uneven_matrix(80, 5, 10), kGroups, 11);
  const GateMoments moments =
      gate_moments(problem.x.view(), problem.pattern, problem.spectrum, problem.pool, {5, false});
  KroneckerPreconditioner preconditioner(problem.spectrum, moments, kGroups);
  const NormalCoefficients c{1, 0.5, 30};
  preconditioner.set(c);
  const std::vector<double> w = random_vector(kGroups * 5, 12);
  std::vector<double> back(w.size());
  preconditioner.apply(problem.apply(c, w), back);
  EXPECT_LE(relative_difference(back, w), 1e-9);  // double, condition number about 1e4
}

TEST(KroneckerPreconditioner, IsExactForGatesThatShareNothingButScale) {
  // Every row comes with its mirror image and a gate sees exactly one of both, so D_p X'X = S / 2 for every gate: with
  // one gate the model is exact without any leading direction.
  Random random(13);
  const Matrix<float> half = normal_matrix(40, 6, random);
  Matrix<float> x(80, 6);
  for (std::size_t i = 0; i < 40; ++i) {
    for (std::size_t j = 0; j < 6; ++j) {
      x(2 * i, j) = half(i, j);
      x(2 * i + 1, j) = -half(i, j);
    }
  }
  Problem problem(std::move(x), 1, 14);
  for (const bool per_direction : {true, false}) {
    const GateMoments moments =
        gate_moments(problem.x.view(), problem.pattern, problem.spectrum, problem.pool, {0, per_direction});
    KroneckerPreconditioner preconditioner(problem.spectrum, moments, 1);
    const NormalCoefficients c{2, 1, 7};
    preconditioner.set(c);
    const std::vector<double> w = random_vector(6, 15);
    std::vector<double> back(w.size());
    preconditioner.apply(problem.apply(c, w), back);
    EXPECT_LE(relative_difference(back, w), 1e-11);
  }
}

class Solves : public ::testing::TestWithParam<std::pair<std::size_t, std::size_t>> {};

TEST_P(Solves, AgreesWithCholesky) {
  const auto [n, d] = GetParam();
  Problem problem(uneven_matrix(n, d, 16), kGroups, 17);
  const GateMoments moments = gate_moments(problem.x.view(), problem.pattern, problem.spectrum, problem.pool);
  KroneckerPreconditioner preconditioner(problem.spectrum, moments, kGroups);
  NormalSystem system(*problem.normal, problem.spectrum);
  const NormalCoefficients c{1, 1, 200};
  preconditioner.set(c);
  system.set(c);
  const std::size_t size = kGroups * d;
  Matrix<double> dense(size, size);
  for (std::size_t k = 0; k < size; ++k) {
    std::vector<double> unit(size);
    unit[k] = 1;
    const std::vector<double> column = problem.apply(c, unit);
    std::ranges::copy(column, dense.row(k).begin());
  }
  const double largest = symmetric_eigen(dense).values.back();
  std::vector<double> expected = random_vector(size, 18);
  const std::vector<double> rhs = expected;
  Cholesky::factor(dense)->solve(expected);

  std::vector<double> x(size);
  const auto solve = [&](double tolerance) {
    return conjugate_gradients([&](auto in, auto out) { system.apply(in, out); },
                               [&](auto in, auto out) { preconditioner.apply(in, out); }, rhs, x, {tolerance, 0, 500});
  };
  const PcgResult cold = solve(1e-7);
  EXPECT_EQ(cold.status, PcgStatus::Converged);
  // M >= 1, so an error of the solution is at most the residual: the tolerance, and the rounding of products in single
  // precision, which is relative to the largest eigenvalue times the solution.
  double error = 0;
  for (std::size_t k = 0; k < size; ++k) error += (x[k] - expected[k]) * (x[k] - expected[k]);
  EXPECT_LE(std::sqrt(error), 1e-7 * norm(rhs) + 8 * 0x1p-24 * largest * norm(expected));

  // From the solution there is nothing left to do but what rounding left.
  const PcgResult warm = solve(1e-4);
  EXPECT_LT(warm.iterations, std::max(1, cold.iterations / 2));
}

INSTANTIATE_TEST_SUITE_P(Shapes, Solves,
                         ::testing::Values(std::pair<std::size_t, std::size_t>{200, 12},
                                           std::pair<std::size_t, std::size_t>{12, 40},
                                           std::pair<std::size_t, std::size_t>{1, 7},
                                           std::pair<std::size_t, std::size_t>{30, 1}));

TEST(ConjugateGradients, BreaksDownWithoutNaN) {
  const std::vector<double> rhs{1, 2, 3};
  const LinearMap identity = [](auto in, auto out) { std::ranges::copy(in, out.begin()); };
  const auto run = [&](const LinearMap& apply, const LinearMap& precondition) {
    std::vector<double> x(3);
    const PcgResult result = conjugate_gradients(apply, precondition, rhs, x, {});
    for (const double value : x) EXPECT_TRUE(std::isfinite(value));
    return result.status;
  };
  EXPECT_EQ(run(identity, identity), PcgStatus::Converged);
  const LinearMap negative = [](auto in, auto out) {
    for (std::size_t k = 0; k < in.size(); ++k) out[k] = -in[k];
  };
  const LinearMap nothing = [](auto, auto out) { std::ranges::fill(out, 0.0); };
  const LinearMap broken = [](auto, auto out) { std::ranges::fill(out, std::numeric_limits<double>::quiet_NaN()); };
  const LinearMap endless = [](auto in, auto out) {
    for (std::size_t k = 0; k < in.size(); ++k) out[k] = in[k] * std::numeric_limits<double>::infinity();
  };
  EXPECT_EQ(run(negative, identity), PcgStatus::Breakdown);
  EXPECT_EQ(run(nothing, identity), PcgStatus::Breakdown);
  EXPECT_EQ(run(broken, identity), PcgStatus::Breakdown);
  EXPECT_EQ(run(endless, identity), PcgStatus::Breakdown);
  EXPECT_EQ(run(identity, negative), PcgStatus::Breakdown);
  EXPECT_EQ(run(identity, broken), PcgStatus::Breakdown);
}

TEST(ConjugateGradients, StopsAtItsLimits) {
  const std::vector<double> diagonal{1, 10, 100, 1000};
  const LinearMap apply = [&](auto in, auto out) {
    for (std::size_t k = 0; k < in.size(); ++k) out[k] = diagonal[k] * in[k];
  };
  const LinearMap identity = [](auto in, auto out) { std::ranges::copy(in, out.begin()); };
  const std::vector<double> rhs{1, 1, 1, 1};
  std::vector<double> x(4);
  const PcgResult limited = conjugate_gradients(apply, identity, rhs, x, {1e-12, 0, 2});
  EXPECT_EQ(limited.status, PcgStatus::IterationLimit);
  EXPECT_EQ(limited.iterations, 2);
  const PcgResult loose = conjugate_gradients(apply, identity, rhs, x, {0, 10, 100});
  EXPECT_EQ(loose.iterations, 0);
  const PcgResult full = conjugate_gradients(apply, identity, rhs, x, {1e-12, 0, 100});
  EXPECT_EQ(full.status, PcgStatus::Converged);
  for (std::size_t k = 0; k < 4; ++k) EXPECT_NEAR(x[k], 1 / diagonal[k], 1e-10);
}

TEST(KroneckerPreconditioner, SavesIterations) {
  // What it is for, on features as uneven as real ones.
  Problem problem(uneven_matrix(2000, 24, 19), 8, 20);
  const GateMoments moments =
      gate_moments(problem.x.view(), problem.pattern, problem.spectrum, problem.pool, {4, true});
  KroneckerPreconditioner preconditioner(problem.spectrum, moments, 8);
  NormalSystem system(*problem.normal, problem.spectrum);
  preconditioner.set({1, 1, 200});
  system.set({1, 1, 200});
  const std::vector<double> rhs = random_vector(8 * 24, 21);
  const LinearMap apply = [&](auto in, auto out) { system.apply(in, out); };
  std::vector<double> with(rhs.size());
  std::vector<double> without(rhs.size());
  const PcgResult fast =
      conjugate_gradients(apply, [&](auto in, auto out) { preconditioner.apply(in, out); }, rhs, with, {1e-6, 0, 2000});
  const PcgResult slow = conjugate_gradients(apply, [](auto in, auto out) { std::ranges::copy(in, out.begin()); }, rhs,
                                             without, {1e-6, 0, 2000});
  EXPECT_EQ(fast.status, PcgStatus::Converged);
  EXPECT_LE(8 * fast.iterations, slow.iterations);
}

TEST(RowSpectrum, HugeAndTinyFeatures) {
  for (const float scale : {1e-20f, 1e20f}) {
    Matrix<float> x = uneven_matrix(60, 5, 22);
    for (float& value : x.values()) value *= scale;
    Problem problem(std::move(x), kGroups, 23);
    const double unit2 = problem.spectrum.values.front();
    const GateMoments moments = gate_moments(problem.x.view(), problem.pattern, problem.spectrum, problem.pool);
    KroneckerPreconditioner preconditioner(problem.spectrum, moments, kGroups);
    NormalSystem system(*problem.normal, problem.spectrum);
    const NormalCoefficients c{1, 0, 100 / unit2};
    preconditioner.set(c);
    system.set(c);
    const std::vector<double> w = random_vector(kGroups * 5, 24);
    std::vector<double> rhs(w.size());
    system.apply(w, rhs);
    std::vector<double> x0(w.size());
    const PcgResult result =
        conjugate_gradients([&](auto in, auto out) { system.apply(in, out); },
                            [&](auto in, auto out) { preconditioner.apply(in, out); }, rhs, x0, {1e-7, 0, 200});
    EXPECT_EQ(result.status, PcgStatus::Converged);
    EXPECT_LE(relative_difference(x0, w), 1e-4);
  }
}

}  // namespace
}  // namespace coala
