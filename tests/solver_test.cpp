// Solvers and certificates on small random problems, judged by code of the test's own.
#include <gtest/gtest.h>

#include "reference.h"
#include "solver/certificate.h"
#include "solver/gated.h"
#include "solver/linear.h"
#include "support.h"

namespace coala {
namespace {

using test::inner;
using test::metric_for;
using test::norm;
using test::Plain;
using test::random_problem;

struct Solution {
  Matrix<float> w;
  double bias = 0;
  SolveInfo info;
  Certificate certificate;
};

Solution solve_gated(const Plain& plain, double beta, double tolerance, bool bias) {
  ThreadPool pool(1);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric solver_metric = metric_for(plain, pool);
  GatedSolver solver(f, plain.targets, solver_metric, {bias, 20000});
  Solution solution;
  solution.info = solver.solve(beta, tolerance);
  solution.w = solver.weights().w;
  solution.bias = solver.weights().bias;
  solution.certificate =
      certify_gated(plain.rows(), plain.targets, plain.gates.view(), solution.w.view(), solution.bias, bias, beta);
  return solution;
}

double beta_max_of(const Plain& plain, bool bias) {
  const Matrix<double> gradient = plain.gradient(Matrix<double>(plain.gates.rows(), plain.dimension()), bias);
  double largest = 0;
  for (std::size_t p = 0; p < gradient.rows(); ++p) largest = std::max(largest, norm(gradient.row(p)));
  return largest;
}

/// w - prox(w - G/L), times L: zero exactly at the optimum, whose groups obey ||G_p|| <= beta where w_p = 0 and
/// G_p = -beta w_p / ||w_p|| elsewhere. At an objective within `gap` of the optimum it is at most sqrt(2 L gap).
double optimality_residual(const Plain& plain, const Matrix<float>& w, double beta, bool bias, double smoothness) {
  const Matrix<double> gradient = plain.gradient(w, bias);
  double sum = 0;
  for (std::size_t p = 0; p < w.rows(); ++p) {
    std::vector<double> v(w.cols());
    for (std::size_t j = 0; j < w.cols(); ++j) v[j] = static_cast<double>(w(p, j)) - gradient(p, j) / smoothness;
    const double size = norm(v);
    const double factor = size > beta / smoothness ? 1 - beta / smoothness / size : 0.0;
    for (std::size_t j = 0; j < w.cols(); ++j) {
      const double move = smoothness * (static_cast<double>(w(p, j)) - factor * v[j]);
      sum += move * move;
    }
  }
  return std::sqrt(sum);
}

/// The optimum by plain proximal gradient steps in double, many of them.
double slow_optimum(const Plain& plain, double beta, bool bias) {
  const double step = 1 / plain.smoothness();
  Matrix<double> w(plain.gates.rows(), plain.dimension());
  for (int k = 0; k < 3000; ++k) {
    const Matrix<double> gradient = plain.gradient(w, bias);
    for (std::size_t p = 0; p < w.rows(); ++p) {
      for (std::size_t j = 0; j < w.cols(); ++j) w(p, j) -= step * gradient(p, j);
      const double size = norm(w.row(p));
      for (double& value : w.row(p)) value *= size > step * beta ? 1 - step * beta / size : 0.0;
    }
  }
  return plain.objective(w, bias ? plain.best_bias(plain.forward(w)) : 0.0, beta);
}

class GatedSolverTest : public ::testing::TestWithParam<std::tuple<Loss, bool>> {
 protected:
  Plain problem(std::size_t n, std::size_t d, std::size_t groups, std::uint64_t seed) const {
    const auto [loss, adorned] = GetParam();
    Plain plain = random_problem(loss, n, d, groups, seed);
    if (adorned) {
      Random random(seed + 1);
      for (float& weight : plain.targets.weights) weight = static_cast<float>(0.2 + 2 * random.uniform());
      if (loss != Loss::Squared) {
        for (std::size_t i = 0; i < n; ++i) plain.targets.margins.push_back(static_cast<float>(random.normal()));
      }
    }
    return plain;
  }
  bool bias() const { return std::get<0>(GetParam()) != Loss::BradleyTerry; }
};

TEST_P(GatedSolverTest, ReachesTheOptimumAndSaysSo) {
  const Plain plain = problem(300, 8, 5, 11);
  const double smoothness = plain.smoothness();
  const double largest = beta_max_of(plain, bias());
  constexpr double kTolerance = 1e-6;
  for (const double ratio : {0.7, 0.2, 0.05}) {
    const double beta = ratio * largest;
    const Solution solution = solve_gated(plain, beta, kTolerance, bias());
    ASSERT_EQ(solution.info.status, SolveStatus::Solved) << ratio << " gap " << solution.info.relative_gap();
    const double objective = plain.objective(solution.w, solution.bias, beta);
    EXPECT_NEAR(solution.certificate.objective, objective, 1e-10 * objective);
    EXPECT_NEAR(solution.info.objective, objective, 1e-5 * objective);
    // The solver sees single-precision derivatives: its own gap and the certificate's differ by their rounding.
    EXPECT_LE(solution.certificate.relative_gap, 5 * kTolerance) << ratio;
    EXPECT_GE(solution.certificate.relative_gap, -1e-12) << ratio;
    EXPECT_LE(optimality_residual(plain, solution.w, beta, bias(), smoothness),
              std::sqrt(2 * smoothness * 5 * kTolerance * objective))
        << ratio;
    const Matrix<double> gradient = plain.gradient(solution.w, bias());
    for (std::size_t p = 0; p < gradient.rows(); ++p) {
      EXPECT_LE(norm(gradient.row(p)), beta + std::sqrt(2 * smoothness * 5 * kTolerance * objective)) << p;
    }
  }
}

TEST_P(GatedSolverTest, GroupWeightsScaleEachPenalty) {
  const Plain plain = problem(300, 8, 4, 21);
  const std::vector<double> weights{0.25, 1, 2, 0.5};
  const double smoothness = plain.smoothness();
  ThreadPool pool(1);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric solver_metric = metric_for(plain, pool);
  constexpr double kTolerance = 1e-6;
  GatedSolver solver(f, plain.targets, solver_metric, {bias(), 20000, weights});

  const Matrix<double> at_zero = plain.gradient(Matrix<double>(4, 8), bias());
  double largest = 0;
  for (std::size_t p = 0; p < 4; ++p) largest = std::max(largest, norm(at_zero.row(p)) / weights[p]);
  EXPECT_NEAR(solver.beta_max(), largest, 1e-5 * largest);

  const double beta = 0.05 * largest;
  ASSERT_EQ(solver.solve(beta, kTolerance).status, SolveStatus::Solved);
  const Matrix<float>& w = solver.weights().w;
  const double b = solver.weights().bias;
  double objective = plain.objective(w, b, 0);
  for (std::size_t p = 0; p < 4; ++p) {
    const auto group = w.row(p);
    objective += beta * weights[p] * norm(std::vector<double>(group.begin(), group.end()));
  }
  const Certificate c =
      certify_gated(plain.rows(), plain.targets, plain.gates.view(), w.view(), b, bias(), beta, weights);
  EXPECT_NEAR(c.objective, objective, 1e-10 * objective);
  EXPECT_LE(c.relative_gap, 5 * kTolerance);
  EXPECT_GE(c.relative_gap, -1e-12);
  // At the optimum a group's gradient is -beta c_p w_p / ||w_p||, or no longer than beta c_p where the group is off.
  const double slack = std::sqrt(2 * smoothness * 5 * kTolerance * objective);
  const Matrix<double> gradient = plain.gradient(w, bias());
  for (std::size_t p = 0; p < 4; ++p) {
    const std::vector<double> group(w.row(p).begin(), w.row(p).end());
    const double size = norm(gradient.row(p));
    EXPECT_LE(size, beta * weights[p] + slack) << p;
    if (norm(group) > 0.01) {
      EXPECT_GE(size, beta * weights[p] - slack) << p;
    }
  }
  EXPECT_LT(slack, 0.5 * beta * 0.25);  // what is forgiven is less than the weights' differences
}

TEST_P(GatedSolverTest, AgreesWithASlowSolver) {
  const Plain plain = problem(60, 3, 3, 12);
  const double beta = 0.1 * beta_max_of(plain, bias());
  const double optimum = slow_optimum(plain, beta, bias());
  const Solution solution = solve_gated(plain, beta, 1e-6, bias());
  const double objective = plain.objective(solution.w, solution.bias, beta);
  EXPECT_LE(objective, optimum * (1 + 5e-6));
  EXPECT_GE(objective, optimum * (1 - 1e-9));
  EXPECT_LE(solution.certificate.dual_objective, optimum * (1 + 1e-9));
}

TEST_P(GatedSolverTest, ZeroAboveTheLargestPenalty) {
  const Plain plain = problem(100, 5, 4, 13);
  ThreadPool pool(1);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric solver_metric = metric_for(plain, pool);
  GatedSolver solver(f, plain.targets, solver_metric, {bias(), 3000});
  const double largest = beta_max_of(plain, bias());
  EXPECT_NEAR(solver.beta_max(), largest, 1e-5 * largest);
  for (const double ratio : {1.0001, 3.0}) {
    const SolveInfo info = solver.solve(ratio * largest, 1e-5);
    EXPECT_EQ(info.status, SolveStatus::Solved);
    for (const float value : solver.weights().w.values()) EXPECT_EQ(value, 0.0f);
  }
  // Just below it some group opens.
  const Solution below = solve_gated(plain, 0.95 * largest, 1e-6, bias());
  EXPECT_GT(norm(std::vector<double>(below.w.values().begin(), below.w.values().end())), 0);
}

TEST_P(GatedSolverTest, WarmPathEndsWhereAColdStartEnds) {
  const Plain plain = problem(200, 6, 6, 14);
  const double largest = beta_max_of(plain, bias());
  ThreadPool pool(2);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric solver_metric = metric_for(plain, pool);
  GatedSolver solver(f, plain.targets, solver_metric, {bias(), 20000});
  for (const double ratio : {0.5, 0.2, 0.1, 0.04, 0.1}) {  // and back up
    const SolveInfo warm = solver.solve(ratio * largest, 1e-6);
    EXPECT_EQ(warm.status, SolveStatus::Solved);
    const Solution cold = solve_gated(plain, ratio * largest, 1e-6, bias());
    EXPECT_NEAR(warm.objective, cold.info.objective, 5e-6 * cold.info.objective) << ratio;
    // The predictions that it hands out are those of its weights.
    const std::vector<double> z = plain.forward(solver.weights().w);
    for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(solver.weights().z[i], z[i], 1e-4);
  }
  const GatedMetric other_metric = metric_for(plain, pool);
  GatedSolver other(f, plain.targets, other_metric, {bias(), 20000});
  other.start_from(solver.weights().w);
  EXPECT_LE(other.solve(0.1 * largest, 1e-5).iterations, 20);
}

TEST_P(GatedSolverTest, WeightsAreRepeatedAndMissingRows) {
  Plain weighted = problem(120, 5, 4, 15);
  Plain repeated = weighted;
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < 120; ++i) {
    const std::size_t times = i % 3;  // 0, 1 or 2
    weighted.targets.weights[i] = static_cast<float>(times);
    for (std::size_t k = 0; k < times; ++k) rows.push_back(i);
  }
  const auto pick = [&](const Matrix<float>& from) {
    Matrix<float> to(from.rows() > 0 ? rows.size() : 0, from.cols());
    for (std::size_t k = 0; k < to.rows(); ++k) std::copy_n(from.row(rows[k]).data(), from.cols(), to.row(k).data());
    return to;
  };
  auto& [plus, minus] = repeated.segments.front();
  plus = pick(plus);
  minus = pick(minus);
  repeated.targets.labels.clear();
  repeated.targets.margins.clear();
  for (const std::size_t i : rows) {
    repeated.targets.labels.push_back(weighted.targets.labels[i]);
    if (!weighted.targets.margins.empty()) repeated.targets.margins.push_back(weighted.targets.margins[i]);
  }
  repeated.targets.weights.assign(rows.size(), 1.0f);
  const double beta = 0.1 * beta_max_of(weighted, bias());
  EXPECT_NEAR(beta_max_of(repeated, bias()), 10 * beta, 1e-9 * beta);
  const Solution a = solve_gated(weighted, beta, 1e-6, bias());
  const Solution b = solve_gated(repeated, beta, 1e-6, bias());
  EXPECT_NEAR(a.info.objective, b.info.objective, 5e-6 * b.info.objective);
  EXPECT_NEAR(repeated.objective(a.w, a.bias, beta), b.certificate.objective, 5e-6 * b.info.objective);
}

TEST_P(GatedSolverTest, ScalingTheDataScalesTheWeights) {
  Plain plain = problem(150, 6, 4, 16);
  const double beta = 0.1 * beta_max_of(plain, bias());
  const Solution one = solve_gated(plain, beta, 1e-5, bias());
  for (auto& [plus, minus] : plain.segments) {
    for (float& value : plus.values()) value *= 4;
    for (float& value : minus.values()) value *= 4;
  }
  // loss(4 F (w/4)) + (4 beta) ||w/4|| is the same function, and powers of two are exact in every step.
  const Solution four = solve_gated(plain, 4 * beta, 1e-5, bias());
  EXPECT_NEAR(four.info.objective, one.info.objective, 1e-9 * one.info.objective);
  EXPECT_EQ(four.info.iterations, one.info.iterations);
  for (std::size_t k = 0; k < one.w.values().size(); ++k) EXPECT_EQ(4 * four.w.values()[k], one.w.values()[k]);
}

TEST_P(GatedSolverTest, CertificateBoundsEveryPoint) {
  const Plain plain = problem(80, 4, 3, 17);
  const double beta = 0.15 * beta_max_of(plain, bias());
  const double optimum = solve_gated(plain, beta, 1e-6, bias()).certificate.objective;
  Random random(18);
  for (const double scale : {1e-3, 0.1, 1.0, 30.0, 1e4, 1e8}) {
    for (int k = 0; k < 5; ++k) {
      const Matrix<float> w = test::normal_matrix(3, 4, random, scale);
      const double b = bias() ? scale * random.normal() : 0.0;
      const Certificate c = certify_gated(plain.rows(), plain.targets, plain.gates.view(), w.view(), b, bias(), beta);
      const double objective = plain.objective(w, b, beta);
      EXPECT_NEAR(c.objective, objective, 1e-10 * objective);
      EXPECT_LE(c.dual_objective, optimum * (1 + 1e-9)) << scale;  // a bound of the optimum, wherever it was made
      EXPECT_GE(c.relative_gap, -1e-12) << scale;
      if (scale >= 1) {
        EXPECT_GE(c.relative_gap, 0.05) << scale;  // and not near zero for a wrong answer
      }
    }
  }
}

TEST(Certificate, BiasFarAwayIsStillABound) {
  // A constant column and a huge weight on it: the dual point is feasible only with a bias as huge.
  Plain plain;
  plain.gates = Matrix<float>(1, 1);
  plain.segments.emplace_back(Matrix<float>(100, 1, AlignedVector<float>(100, 1.0f)), Matrix<float>());
  plain.targets.loss = Loss::Squared;
  plain.targets.labels.assign(100, -1.0f);
  std::fill_n(plain.targets.labels.begin(), 10, 1.0f);
  plain.targets.weights.assign(100, 1.0f);
  const Matrix<float> w(1, 1, {1e9f});
  const Certificate c =
      certify_gated(plain.rows(), plain.targets, plain.gates.view(), w.view(), 0.0, true, /*beta=*/1e12);
  const double optimum = 100 * (1 - 0.8 * 0.8) / 2;  // w = 0, the bias at the mean label -0.8
  EXPECT_LE(c.dual_objective, optimum * (1 + 1e-6));
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<Loss, bool>>& info) {
  return std::string(loss_name(std::get<0>(info.param))) + (std::get<1>(info.param) ? "_weights_margins" : "_plain");
}
INSTANTIATE_TEST_SUITE_P(Losses, GatedSolverTest,
                         ::testing::Combine(::testing::Values(Loss::Squared, Loss::Logistic, Loss::BradleyTerry),
                                            ::testing::Bool()),
                         case_name);

/// Dense Newton in double on (w, b), with Gaussian elimination.
std::vector<double> dense_newton(const Plain& plain, double lambda, bool bias) {
  const std::size_t d = plain.dimension();
  const std::size_t size = d + (bias ? 1 : 0);
  std::vector<double> x(size);
  Matrix<double> rows(plain.count(), size);  // gradient of each row's prediction
  plain.for_each_open([&](std::size_t i, std::size_t, std::span<const float> f, double sign) {
    for (std::size_t j = 0; j < d; ++j) rows(i, j) += sign * static_cast<double>(f[j]);
    if (bias) rows(i, d) = 1;
  });
  for (int step = 0; step < 60; ++step) {
    Matrix<double> a(size, size + 1);
    for (std::size_t i = 0; i < plain.count(); ++i) {
      const double z = inner(std::span<const double>(rows.row(i)), std::span<const double>(x));
      const double slope = plain.slope_of(i, z);
      const double bend = (plain.slope_of(i, z + 1e-5) - plain.slope_of(i, z - 1e-5)) / 2e-5;
      for (std::size_t j = 0; j < size; ++j) {
        a(j, size) -= slope * rows(i, j);
        for (std::size_t k = 0; k < size; ++k) a(j, k) += bend * rows(i, j) * rows(i, k);
      }
    }
    for (std::size_t j = 0; j < d; ++j) {
      a(j, j) += lambda;
      a(j, size) -= lambda * x[j];
    }
    for (std::size_t j = 0; j < size; ++j) {
      for (std::size_t k = 0; k < size; ++k) {
        if (k == j) continue;
        const double factor = a(k, j) / a(j, j);
        for (std::size_t l = j; l <= size; ++l) a(k, l) -= factor * a(j, l);
      }
    }
    for (std::size_t j = 0; j < size; ++j) x[j] += a(j, size) / a(j, j);
  }
  return x;
}

TEST(LinearSolver, AgreesWithDenseNewton) {
  for (const Loss loss : {Loss::Squared, Loss::Logistic, Loss::BradleyTerry}) {
    SCOPED_TRACE(loss_name(loss));
    const bool bias = loss != Loss::BradleyTerry;
    Plain plain = random_problem(loss, 400, 7, 1, 21);
    Random random(22);
    for (float& weight : plain.targets.weights) weight = static_cast<float>(random.below(3));
    ThreadPool pool(2);
    GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
    const MomentSpectrum moments = row_moments(plain.rows(), plain.targets.weights, pool);
    LinearSolver solver(f, plain.targets, moments, bias);
    const double start = norm(plain.gradient(Matrix<double>(1, 7), bias).values());
    for (const double lambda : {1000.0, 30.0, 1.0}) {
      const SolveInfo info = solver.solve(lambda, 1e-6);
      EXPECT_NE(info.status, SolveStatus::IterationLimit);
      const std::vector<double> expected = dense_newton(plain, lambda, bias);
      const Certificate c =
          certify_linear(plain.rows(), plain.targets, solver.weights().w.row(0), solver.weights().bias, bias, lambda);
      EXPECT_LE(c.relative_gap, 1e-6) << lambda;
      EXPECT_GE(c.relative_gap, -1e-12) << lambda;
      EXPECT_NEAR(info.objective, c.objective, 1e-6 * c.objective);
      // The objective curves by at least lambda: ||w - w*|| <= ||gradient|| / lambda; n u sum|terms| of rounding.
      const double bound = (1e-6 * start + 800 * 0x1p-24 * start) / lambda;
      for (std::size_t j = 0; j < 7; ++j) EXPECT_NEAR(solver.weights().w(0, j), expected[j], bound) << lambda;
      if (bias) {
        EXPECT_NEAR(solver.weights().bias, expected[7], 1e-3) << lambda;
      }
    }
  }
}

TEST(LinearSolver, ColumnsFarFromZeroCostNoMoreSteps) {
  // The bias and the weights then pull together; Newton's method sees that only if its Hessian does.
  Plain plain = random_problem(Loss::Logistic, 400, 6, 1, 27);
  for (float& value : plain.segments.front().first.values()) value += 4;
  ThreadPool pool(1);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const MomentSpectrum moments = row_moments(plain.rows(), plain.targets.weights, pool);
  LinearSolver solver(f, plain.targets, moments, true);
  const SolveInfo info = solver.solve(0.1, 1e-4);
  EXPECT_EQ(info.status, SolveStatus::Solved);
  EXPECT_LE(info.iterations, 10);
  const Certificate c =
      certify_linear(plain.rows(), plain.targets, solver.weights().w.row(0), solver.weights().bias, true, 0.1);
  EXPECT_LE(c.relative_gap, 1e-3);
}

TEST(LinearSolver, GramIsTheWeightedSumOfProducts) {
  const Plain plain = random_problem(Loss::BradleyTerry, 300, 5, 1, 23);
  std::vector<float> weights(300);
  Random random(24);
  for (float& weight : weights) weight = static_cast<float>(random.uniform());
  ThreadPool pool(3);
  const Matrix<double> gram = weighted_gram(plain.rows(), weights, pool);
  const auto& [plus, minus] = plain.segments.front();
  for (std::size_t a = 0; a < 5; ++a) {
    for (std::size_t b = 0; b < 5; ++b) {
      double sum = 0;
      double size = 0;
      for (std::size_t i = 0; i < 300; ++i) {
        const double term = static_cast<double>(weights[i]) * (static_cast<double>(plus(i, a)) - minus(i, a)) *
                            (static_cast<double>(plus(i, b)) - minus(i, b));
        sum += term;
        size += std::abs(term);
      }
      EXPECT_NEAR(gram(a, b), sum, test::rounding_bound(256 + 8) * size);
    }
  }
}

TEST(LinearCertificate, BoundsEveryPoint) {
  for (const Loss loss : {Loss::Squared, Loss::Logistic, Loss::BradleyTerry}) {
    const bool bias = loss != Loss::BradleyTerry;
    const Plain plain = random_problem(loss, 100, 4, 1, 25);
    const std::vector<double> best = dense_newton(plain, 5.0, bias);
    double optimum = 0;
    {
      Matrix<double> w(1, 4);
      std::copy_n(best.begin(), 4, w.values().begin());
      optimum = plain.objective(w, bias ? best[4] : 0.0, 0) + 2.5 * norm(w.row(0)) * norm(w.row(0));
    }
    Random random(26);
    for (const double scale : {1e-2, 1.0, 100.0, 1e7}) {
      const Matrix<float> w = test::normal_matrix(1, 4, random, scale);
      const Certificate c = certify_linear(plain.rows(), plain.targets, w.row(0), bias ? scale : 0.0, bias, 5.0);
      EXPECT_LE(c.dual_objective, optimum + 1e-9 * std::abs(optimum)) << scale;
      EXPECT_GE(c.objective, optimum * (1 - 1e-12)) << scale;
      if (scale >= 1) {
        EXPECT_GE(c.relative_gap, 0.05) << scale;
      }
    }
  }
}

TEST(Gated, ADeadlineKeepsTheBestPointAndItsBound) {
  for (const Loss loss : {Loss::Squared, Loss::Logistic}) {
    const Plain plain = random_problem(loss, 300, 8, 5, 31);
    const double beta = 0.02 * beta_max_of(plain, true);
    ThreadPool pool(1);
    GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
    const GatedMetric metric = metric_for(plain, pool);
    GatedSolver solver(f, plain.targets, metric, {true, 20000});
    const SolveInfo late = solver.solve(beta, 1e-6, Deadline::after(0));
    EXPECT_EQ(late.status, SolveStatus::TimeLimit);
    EXPECT_EQ(late.iterations, 1);
    const GatedWeights& weights = solver.weights();
    const Certificate c =
        certify_gated(plain.rows(), plain.targets, plain.gates.view(), weights.w.view(), weights.bias, true, beta);
    EXPECT_NEAR(late.objective, c.objective, 1e-5 * c.objective);  // single precision against double
    const SolveInfo rest = solver.solve(beta, 1e-6);
    EXPECT_EQ(rest.status, SolveStatus::Solved);
    EXPECT_GT(late.objective, rest.objective);
    EXPECT_LE(c.dual_objective, rest.objective);  // the bound of the unfinished point bounds the optimum
  }
}

TEST(Linear, ADeadlineLeavesAtLeastOneStep) {
  const Plain plain = random_problem(Loss::Logistic, 300, 8, 1, 32);
  ThreadPool pool(1);
  const Matrix<float> zero_gate(1, 8);
  GatedOperator<float> f(plain.rows(), zero_gate.view(), pool);
  const MomentSpectrum moments = row_moments(plain.rows(), plain.targets.weights, pool);
  LinearSolver solver(f, plain.targets, moments, true);
  const SolveInfo late = solver.solve(0.1, 1e-9, Deadline::after(0));
  EXPECT_EQ(late.status, SolveStatus::TimeLimit);
  EXPECT_EQ(late.iterations, 1);
  EXPECT_LT(late.objective, 300 * std::log(2.0));  // that of zero weights without a bias
  const SolveInfo rest = solver.solve(0.1, 1e-6);
  EXPECT_EQ(rest.status, SolveStatus::Solved);
  EXPECT_GE(late.objective, rest.objective);
  EXPECT_LE(late.dual_objective, rest.objective * (1 + 1e-6));
}

}  // namespace
}  // namespace coala
