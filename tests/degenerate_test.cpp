// Inputs at the edge: the right answer or a clear error, never NaN and never a hang.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "reference.h"
#include "solver/certificate.h"
#include "solver/cronos.h"
#include "solver/gated.h"
#include "solver/gates.h"
#include "solver/linear.h"
#include "support.h"

namespace coala {
namespace {

using test::metric_for;
using test::Plain;
using test::random_problem;

class DegenerateTest : public ::testing::TestWithParam<Loss> {
 protected:
  void SetUp() override { ::alarm(30); }  // a hang ends the program by SIGALRM
  void TearDown() override { ::alarm(0); }

  bool bias() const { return GetParam() != Loss::BradleyTerry; }

  /// Solves at some share of beta_max; all that comes out must be finite, and a claim of success must hold.
  /// @return the certified gap
  double check(const Plain& plain, double ratio, double tolerance = 1e-4) const {
    SCOPED_TRACE(::testing::Message() << "ratio " << ratio);
    ThreadPool pool(1);
    GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
    const GatedMetric solver_metric = metric_for(plain, pool);
    GatedSolver solver(f, plain.targets, solver_metric, {bias(), 2000});
    const double beta = ratio * solver.beta_max();
    const SolveInfo info = solver.solve(beta, tolerance);
    for (const float value : solver.weights().w.values()) EXPECT_TRUE(std::isfinite(value));
    EXPECT_TRUE(std::isfinite(solver.weights().bias));
    const Certificate c = certify_gated(plain.rows(), plain.targets, plain.gates.view(), solver.weights().w.view(),
                                        solver.weights().bias, bias(), beta);
    EXPECT_TRUE(std::isfinite(c.objective));
    EXPECT_TRUE(std::isfinite(c.dual_objective));
    EXPECT_GE(c.relative_gap, -1e-9);
    if (info.status == SolveStatus::Solved && !one_class_with_bias(plain)) {
      EXPECT_LE(c.relative_gap, 2 * tolerance + 1e-6);
    }
    check_linear(plain);
    return c.relative_gap;
  }

  /// Then a logistic loss falls for ever along the bias: there is no minimiser to certify.
  bool one_class_with_bias(const Plain& plain) const {
    const std::vector<float>& labels = plain.targets.labels;
    return GetParam() == Loss::Logistic &&
           std::count(labels.begin(), labels.end(), labels.front()) == std::ssize(labels);
  }

  void check_linear(const Plain& plain) const {
    ThreadPool pool(1);
    const Matrix<float> zero_gate(1, plain.dimension());
    GatedOperator<float> f(plain.rows(), zero_gate.view(), pool);
    const MomentSpectrum moments = row_moments(plain.rows(), plain.targets.weights, pool);
    LinearSolver solver(f, plain.targets, moments, bias());
    for (const double share : {10.0, 1e-2, 1e-5}) {
      const double lambda = share * static_cast<double>(plain.count());
      const SolveInfo info = solver.solve(lambda, 1e-5);
      for (const float value : solver.weights().w.values()) EXPECT_TRUE(std::isfinite(value));
      EXPECT_TRUE(std::isfinite(solver.weights().bias));
      EXPECT_TRUE(std::isfinite(info.objective));
      EXPECT_TRUE(std::isfinite(info.dual_objective));
    }
  }

  static void for_values(Plain& plain, const std::function<void(std::size_t, std::size_t, float&)>& change) {
    for (auto& [plus, minus] : plain.segments) {
      for (Matrix<float>* matrix : {&plus, &minus}) {
        for (std::size_t i = 0; i < matrix->rows(); ++i) {
          for (std::size_t j = 0; j < matrix->cols(); ++j) change(i, j, (*matrix)(i, j));
        }
      }
    }
  }
};

TEST_P(DegenerateTest, ConstantColumns) {
  Plain plain = random_problem(GetParam(), 80, 5, 4, 1);
  for_values(plain, [](std::size_t, std::size_t j, float& value) {
    if (j == 1) value = 0;
    if (j == 3) value = 7.5f;
  });
  EXPECT_LE(check(plain, 0.1), 1e-3);
}

TEST_P(DegenerateTest, NothingButZeros) {
  Plain plain = random_problem(GetParam(), 40, 3, 3, 2);
  for_values(plain, [](std::size_t, std::size_t, float& value) { value = 0; });
  EXPECT_LE(check(plain, 0.5), 1e-9);
}

TEST_P(DegenerateTest, DuplicateRows) {
  Plain plain = random_problem(GetParam(), 64, 4, 3, 3);
  for_values(plain, [](std::size_t, std::size_t j, float& value) { value = static_cast<float>(j) - 1.2f; });
  for (float& value : plain.segments.front().second.values()) value *= -0.5f;  // else a pair would be a row of zeros
  EXPECT_LE(check(plain, 0.2), 1e-3);
}

TEST_P(DegenerateTest, OneRow) {
  const Plain plain = random_problem(GetParam(), 1, 4, 3, 4);
  check(plain, 0.3);
  check(plain, 1e-3);
}

TEST_P(DegenerateTest, AllLabelsEqual) {
  Plain plain = random_problem(GetParam(), 50, 4, 3, 5);
  plain.targets.labels.assign(50, 1.0f);
  check(plain, 0.2);
}

TEST_P(DegenerateTest, AllWeightsZero) {
  Plain plain = random_problem(GetParam(), 20, 3, 3, 6);
  plain.targets.weights.assign(20, 0.0f);
  check(plain, 0.5);
}

TEST_P(DegenerateTest, MoreColumnsThanRows) {
  const Plain plain = random_problem(GetParam(), 20, 100, 4, 7);
  EXPECT_LE(check(plain, 0.3), 1e-3);
  check(plain, 1e-3);
}

TEST_P(DegenerateTest, SeparableAtATinyPenalty) {
  // The weights grow, the loss vanishes, and single precision can no longer tell a step from rounding.
  for (const double scale : {1.0, 1e3, 1e6}) {
    SCOPED_TRACE(scale);
    Plain plain = random_problem(GetParam(), 60, 3, 3, 8);
    auto& [plus, minus] = plain.segments.front();
    for (std::size_t i = 0; i < plus.rows(); ++i) {
      const float side = plus(i, 0) > 0 ? 1.0f : -1.0f;
      if (GetParam() != Loss::BradleyTerry) plain.targets.labels[i] = side;
      plus(i, 0) += 3 * side;
      if (minus.rows() > 0) minus(i, 0) = plus(i, 0) - 5;
    }
    for_values(plain, [&](std::size_t, std::size_t, float& value) { value *= static_cast<float>(scale); });
    check(plain, 1e-3);
    check(plain, 1e-6);
    check(plain, 1e-9, 1e-7);
  }
}

TEST_P(DegenerateTest, OrdinaryRowsAtASmallPenalty) {
  // A path down to 1 % of beta_max, to more than single precision resolves: it must end, solved or stalled.
  const Plain plain = random_problem(GetParam(), 300, 8, 5, 11);
  ThreadPool pool(1);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric solver_metric = metric_for(plain, pool);
  GatedSolver solver(f, plain.targets, solver_metric, {bias(), 20000});
  const double largest = solver.beta_max();
  for (const double ratio : {0.3, 0.05, 0.01, 1e-3}) {
    for (const double tolerance : {1e-4, 1e-9}) {
      const SolveInfo info = solver.solve(ratio * largest, tolerance);
      const Certificate c = certify_gated(plain.rows(), plain.targets, plain.gates.view(), solver.weights().w.view(),
                                          solver.weights().bias, bias(), ratio * largest);
      if (tolerance >= 1e-4) {
        EXPECT_EQ(info.status, SolveStatus::Solved) << ratio;
      }
      // What was reached is kept, however long it is asked for more.
      EXPECT_LE(c.relative_gap, 1e-4 + 1e-6) << ratio << " " << status_name(info.status);
      EXPECT_NEAR(c.relative_gap, info.relative_gap(), 1e-5);
    }
  }
}

TEST_P(DegenerateTest, TinyAndHugeScales) {
  // Their squares leave the range of single precision at both ends.
  for (const double scale : {1e-30, 1e-15, 1e-6, 1e6, 1e12, 1e25}) {
    SCOPED_TRACE(scale);
    Plain plain = random_problem(GetParam(), 100, 4, 3, 9);
    for_values(plain, [&](std::size_t, std::size_t, float& value) { value *= static_cast<float>(scale); });
    try {
      const double gap = check(plain, 0.1);
      if (scale >= 1e-6 && scale <= 1e6) {
        EXPECT_LE(gap, 1e-3);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::BadInput);
      EXPECT_TRUE(scale < 1e-6 || scale > 1e6) << error.what();
    }
  }
}

TEST_P(DegenerateTest, InfiniteOrNotANumber) {
  // Files are checked when they are read; this is the second line.
  for (const float poison : {HUGE_VALF, -HUGE_VALF, std::nanf("")}) {
    Plain plain = random_problem(GetParam(), 50, 4, 3, 10);
    plain.segments.front().first(7, 2) = poison;
    ThreadPool pool(1);
    GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
    const auto gated = [&] {
      const GatedMetric solver_metric = metric_for(plain, pool);
      GatedSolver solver(f, plain.targets, solver_metric, {bias(), 100});
      solver.solve(1.0, 1e-4);
    };
    EXPECT_EQ(test::error_code_of(gated), ErrorCode::BadInput) << poison;
    const auto linear = [&] {
      const Matrix<float> zero_gate(1, 4);
      GatedOperator<float> one(plain.rows(), zero_gate.view(), pool);
      const MomentSpectrum moments = row_moments(plain.rows(), plain.targets.weights, pool);
      LinearSolver(one, plain.targets, moments, bias()).solve(1.0, 1e-4);
    };
    EXPECT_EQ(test::error_code_of(linear), ErrorCode::BadInput) << poison;
  }
}

TEST_P(DegenerateTest, FewIterationsAreNoError) {
  const Plain plain = random_problem(GetParam(), 200, 6, 4, 11);
  ThreadPool pool(1);
  GatedOperator<float> f(plain.rows(), plain.gates.view(), pool);
  const GatedMetric solver_metric = metric_for(plain, pool);
  GatedSolver solver(f, plain.targets, solver_metric, {bias(), 3});
  const SolveInfo info = solver.solve(0.01 * solver.beta_max(), 1e-7);
  EXPECT_EQ(info.status, SolveStatus::IterationLimit);
  EXPECT_EQ(info.iterations, 3);
  EXPECT_GT(info.relative_gap(), 1e-7);  // and it belongs to the iterate that is returned
  const double objective = plain.objective(solver.weights().w, solver.weights().bias, 0.01 * solver.beta_max());
  EXPECT_NEAR(info.objective, objective, 1e-5 * objective);
}

std::string name_of(const ::testing::TestParamInfo<Loss>& info) {
  return std::string(loss_name(info.param));
}
INSTANTIATE_TEST_SUITE_P(All, DegenerateTest, ::testing::Values(Loss::Squared, Loss::Logistic, Loss::BradleyTerry),
                         name_of);

TEST(CronosDegenerate, FiniteOnOddRows) {
  ::alarm(30);
  Random random(12);
  for (const std::size_t n : {1, 3, 257}) {
    Matrix<float> x = test::normal_matrix(n, 6, random);
    for (std::size_t i = 0; i < n; ++i) x(i, 2) = 0.5f;
    const std::vector<float> y(n, 1.0f);
    const Matrix<float> gates = draw_gates(3, 6, 1);
    ThreadPool pool(1);
    const Matrix<std::uint8_t> pattern = gate_pattern<float>(x.view(), gates.view(), pool);
    GatedOperator<float> f(DesignRows<float>{{{std::as_const(x).view(), {}}}}, pattern, pool);
    Cronos<float> cronos(f, pattern, y, {}, pool);
    const SolveInfo info = cronos.run();
    EXPECT_EQ(info.iterations, CronosSettings().admm_iterations);
    for (const Matrix<float>& half : cronos.state().u) {
      for (const float value : half.values()) EXPECT_TRUE(std::isfinite(value)) << n;
    }
  }
  ::alarm(0);
}

}  // namespace
}  // namespace coala
