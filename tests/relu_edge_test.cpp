// The convex ReLU program on inputs at the edge: the right answer or a clear error, never NaN and never a hang.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <limits>

#include "relu_problems.h"
#include "solver/relu.h"
#include "support.h"

namespace coala {
namespace {

using test::random_relu_problem;
using test::solve_relu;
using Problem = test::ReluProblem;

TEST(Relu, BadSettingsAreErrors) {
  const Problem problem = random_relu_problem(20, 3, 2, 15);
  ThreadPool pool(1);
  ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool);
  const auto code = [&](auto change) {
    ReluSettings settings;
    settings.beta = 1;
    change(settings);
    return test::error_code_of([&] { solver.solve(settings); });
  };
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(code([](ReluSettings& s) { s.beta = 0; }), ErrorCode::BadUsage);
  EXPECT_EQ(code([](ReluSettings& s) { s.beta = -1; }), ErrorCode::BadUsage);
  EXPECT_EQ(code([](ReluSettings& s) { s.beta = kNan; }), ErrorCode::BadUsage);
  EXPECT_EQ(code([](ReluSettings& s) { s.tolerance = 0; }), ErrorCode::BadUsage);
  EXPECT_EQ(code([](ReluSettings& s) { s.tolerance = kNan; }), ErrorCode::BadUsage);
  EXPECT_EQ(code([](ReluSettings& s) { s.max_iterations = 0; }), ErrorCode::BadUsage);
}

TEST(Relu, BadInputIsAnError) {
  ThreadPool pool(1);
  const auto code = [&](auto change) {
    Problem problem = random_relu_problem(20, 3, 2, 16);
    change(problem);
    return test::error_code_of([&] {
      const Problem& made = problem;
      ReluSolver(made.x.view(), made.y, made.gates.view(), pool);
    });
  };
  EXPECT_EQ(code([](Problem& p) { p.x(3, 1) = std::numeric_limits<float>::quiet_NaN(); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) { p.x(3, 1) = std::numeric_limits<float>::infinity(); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) { p.y[7] = std::numeric_limits<float>::quiet_NaN(); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) { p.gates(0, 0) = std::numeric_limits<float>::quiet_NaN(); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) { p.y.pop_back(); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) { p.gates = Matrix<float>(2, 4); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) { p.gates = Matrix<float>(0, 3); }), ErrorCode::BadInput);
  EXPECT_EQ(code([](Problem& p) {
              p.x = Matrix<float>(0, 3);
              p.y.clear();
            }),
            ErrorCode::BadInput);
}

class Edge : public ::testing::Test {
 protected:
  void SetUp() override { ::alarm(60); }  // a hang ends the program by SIGALRM
  void TearDown() override { ::alarm(0); }

  /// Must be solved, and the claim must hold.
  static void expect_solved(const Problem& problem, double ratio, double tolerance = 1e-4) {
    SCOPED_TRACE(::testing::Message() << "ratio " << ratio);
    const ReluResult result = solve_relu(problem, ratio, tolerance);
    EXPECT_EQ(result.info.status, SolveStatus::Solved) << result.certificate.relative_gap;
    EXPECT_LE(result.certificate.relative_gap, 1.1 * tolerance);
    EXPECT_LE(result.certificate.violation, 1e-9);
    for (const double value : result.u.values()) EXPECT_TRUE(std::isfinite(value));
    for (const double value : result.network.theta1.values()) EXPECT_TRUE(std::isfinite(value));
  }
};

TEST_F(Edge, ConstantColumns) {
  Problem problem = random_relu_problem(100, 6, 3, 20);
  for (std::size_t i = 0; i < 100; ++i) {
    problem.x(i, 1) = 0;
    problem.x(i, 3) = 7.5f;
  }
  for (const double ratio : {0.5, 0.1, 0.01}) expect_solved(problem, ratio);
}

TEST_F(Edge, DuplicateAndOppositeRows) {
  Problem problem = random_relu_problem(80, 4, 3, 21);
  for (std::size_t i = 20; i < 80; ++i) {
    for (std::size_t j = 0; j < 4; ++j) problem.x(i, j) = (i % 3 == 0 ? -2.0f : 1.0f) * problem.x(i % 20, j);
  }
  for (const double ratio : {0.5, 0.1}) expect_solved(problem, ratio);
}

TEST_F(Edge, AllLabelsEqual) {
  Problem problem = random_relu_problem(60, 4, 3, 22);
  problem.y.assign(60, 1.0f);
  for (const double ratio : {0.5, 0.1}) expect_solved(problem, ratio);
}

TEST_F(Edge, OneRow) {
  const Problem problem = random_relu_problem(1, 5, 3, 24);
  bool any_open = false;
  for (std::size_t p = 0; p < 3; ++p) any_open = any_open || problem.open(0, p) > 0;
  ASSERT_TRUE(any_open);
  for (const double ratio : {0.5, 0.1}) expect_solved(problem, ratio);
}

TEST_F(Edge, MoreGatesThanRows) {
  const Problem problem = random_relu_problem(6, 3, 20, 24);
  for (const double ratio : {0.5, 0.1}) expect_solved(problem, ratio);
}

TEST_F(Edge, MoreColumnsThanRows) {
  const Problem problem = random_relu_problem(15, 60, 4, 25);
  for (const double ratio : {0.5, 0.1, 0.01}) expect_solved(problem, ratio);
}

TEST_F(Edge, MoreColumnsThanRowsIsTheSameInTheSpanOfTheRows) {
  // The rows of a problem with d = 4, embedded in 64 columns by an orthonormal map: the same optimum.
  const Problem small = random_relu_problem(40, 4, 3, 26);
  Problem large;
  large.y = small.y;
  large.x = Matrix<float>(40, 64);
  large.gates = Matrix<float>(3, 64);
  // Columns repeated four times at half the size, the rest zero: exact in float.
  const auto embed = [](const Matrix<float>& from, Matrix<float>& to) {
    for (std::size_t i = 0; i < from.rows(); ++i) {
      for (std::size_t j = 0; j < 16; ++j) to(i, 3 * j) = from(i, j % 4) / 2;
    }
  };
  embed(small.x, large.x);
  embed(small.gates, large.gates);
  const ReluResult a = solve_relu(small, 0.1, 1e-6);
  const ReluResult b = solve_relu(large, 0.1, 1e-6);
  EXPECT_NEAR(a.info.objective, b.info.objective, 3e-6 * a.info.objective);
}

TEST_F(Edge, NothingButZeros) {
  Problem problem = random_relu_problem(10, 3, 2, 27);
  for (float& value : problem.x.values()) value = 0;
  ThreadPool pool(1);
  ReluSolver solver(static_cast<const Problem&>(problem).x.view(), problem.y,
                    static_cast<const Problem&>(problem).gates.view(), pool);
  EXPECT_EQ(solver.beta_max(), 0.0);
  ReluSettings settings;
  settings.beta = 0.5;
  const ReluResult result = solver.solve(settings);
  EXPECT_EQ(result.info.status, SolveStatus::Solved);
  EXPECT_EQ(result.certificate.objective, 5.0);
  EXPECT_EQ(result.certificate.relative_gap, 0.0);
}

TEST_F(Edge, HugeAndTinyFeatures) {
  const Problem plain = random_relu_problem(80, 5, 3, 28);
  const ReluResult reference = solve_relu(plain, 0.1, 1e-5);
  for (const float scale : {1e-20f, 1e20f}) {
    Problem scaled = plain;
    for (float& value : scaled.x.values()) value *= scale;
    expect_solved(scaled, 0.1, 1e-5);
    // Weights scale with 1 / features and penalties with features: the objective stays.
    EXPECT_NEAR(solve_relu(scaled, 0.1, 1e-5).info.objective, reference.info.objective,
                3e-5 * reference.info.objective);
  }
}

TEST_F(Edge, AlwaysOpenGate) {
  // g = 0 counts as open everywhere: its cone {X u >= 0} may be the origin alone.
  Problem problem = random_relu_problem(90, 4, 3, 29);
  for (float& value : problem.gates.row(0)) value = 0;
  for (const double ratio : {0.5, 0.1}) expect_solved(problem, ratio);
}

TEST_F(Edge, TinyPenalty) {
  // A penalty far down: still a feasible point and a valid bound, whatever the gap.
  const Problem problem = random_relu_problem(100, 5, 3, 30);
  ThreadPool pool(1);
  ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool);
  ReluSettings settings;
  settings.beta = 1e-9 * solver.beta_max();
  settings.max_iterations = 200;
  const ReluResult result = solver.solve(settings);
  EXPECT_LE(result.certificate.violation, 1e-9);
  EXPECT_GE(result.certificate.relative_gap, -1e-9);
  EXPECT_LE(result.certificate.objective, 50.0);
}

}  // namespace
}  // namespace coala
