// The convex ReLU program solved and certified, against brute force, its optimality conditions, and other solvers.
#include "solver/relu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>

#include "core/interrupt.h"
#include "core/safetensors.h"
#include "relu_problems.h"
#include "solver/certificate.h"
#include "solver/gates.h"
#include "support.h"

namespace coala {
namespace {

using test::inner;
using test::norm;
using test::random_relu_problem;
using test::solve_relu;
using Problem = test::ReluProblem;

class BruteForce : public ::testing::TestWithParam<std::tuple<std::size_t, std::size_t, std::size_t, double>> {};

TEST_P(BruteForce, AgreesAndSatisfiesTheOptimalityConditions) {
  const auto& [n, d, groups, ratio] = GetParam();
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    const Problem problem = random_relu_problem(n, d, groups, seed);
    constexpr double kTolerance = 1e-6;
    const ReluResult result = solve_relu(problem, ratio, kTolerance);
    ASSERT_EQ(result.info.status, SolveStatus::Solved);
    EXPECT_LE(result.certificate.relative_gap, 1.1 * kTolerance);
    EXPECT_GE(result.certificate.relative_gap, -1e-12);
    EXPECT_LE(result.certificate.violation, 1e-10);

    // beta_max, by faces
    double beta_max = 0;
    std::vector<double> theta(n);
    const Matrix<double> zero(2 * groups, d);
    test::objective_of(problem, zero, 0, &theta);
    for (std::size_t s = 0; s < 2 * groups; ++s) {
      beta_max = std::max(beta_max, norm(test::project_by_faces(test::constraints_of(problem, s % groups),
                                                                test::descent(problem, theta, s))));
    }
    ThreadPool pool(1);
    EXPECT_NEAR(ReluSolver(problem.x.view(), problem.y, problem.gates.view(), pool).beta_max(), beta_max,
                1e-5 * beta_max);
    const double beta = ratio * beta_max;

    const double mine = test::objective_of(problem, result.u, beta, &theta);
    EXPECT_NEAR(mine, result.certificate.objective, 1e-5 * mine);
    const double theirs = test::objective_of(problem, test::brute_force(problem, beta, 3000), beta, nullptr);
    EXPECT_NEAR(mine, theirs, 1e-5 * theirs);
    EXPECT_LE(result.certificate.dual_objective, theirs * (1 + 1e-5));

    // u_s = 0: the projected descent direction is at most beta long. Otherwise it is beta long and along u_s. The gap
    // leaves theta uncertain by sqrt(2 gap), and with it the direction by ||X|| times that.
    double size = 0;
    for (const float value : problem.x.values()) size += static_cast<double>(value) * static_cast<double>(value);
    const double slack = std::sqrt(size) * std::sqrt(2 * kTolerance * mine) + 1e-5 * beta;
    for (std::size_t s = 0; s < 2 * groups; ++s) {
      const std::vector<double> q =
          test::project_by_faces(test::constraints_of(problem, s % groups), test::descent(problem, theta, s));
      EXPECT_LE(norm(q), beta + slack);
      if (norm(result.u.row(s)) < 1e-3) continue;
      for (std::size_t j = 0; j < d; ++j) {
        EXPECT_NEAR(q[j], beta * result.u(s, j) / norm(result.u.row(s)), 10 * slack);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Small, BruteForce,
                         ::testing::Values(std::tuple<std::size_t, std::size_t, std::size_t, double>{12, 2, 3, 0.1},
                                           std::tuple<std::size_t, std::size_t, std::size_t, double>{12, 3, 3, 0.5},
                                           std::tuple<std::size_t, std::size_t, std::size_t, double>{12, 3, 3, 0.02},
                                           std::tuple<std::size_t, std::size_t, std::size_t, double>{30, 3, 6, 0.1},
                                           std::tuple<std::size_t, std::size_t, std::size_t, double>{4, 3, 5, 0.1},
                                           std::tuple<std::size_t, std::size_t, std::size_t, double>{9, 1, 2, 0.3}));

TEST(ReluCertificate, AnyDualPointIsALowerBound) {
  const Problem problem = random_relu_problem(12, 3, 3, 4);
  const double beta = 0.4;
  const double best = test::objective_of(problem, test::brute_force(problem, beta, 3000), beta, nullptr);
  Random random(5);
  const Matrix<double> zero(6, 3);
  double highest = 0;
  for (int k = 0; k < 300; ++k) {
    ReluDual dual;
    for (std::size_t i = 0; i < 12; ++i) {
      dual.theta.push_back(-problem.y[i] * random.uniform() + 0.2 * random.normal());
    }
    dual.multipliers.resize(6);
    for (auto& multipliers : dual.multipliers) {
      for (std::size_t i = 0; i < 12; i += 3) multipliers.emplace_back(i, random.normal());  // half of them negative
    }
    const ReluCertificate c = certify_relu(problem.x.view(), problem.y, problem.gates.view(), zero.view(), dual, beta);
    EXPECT_LE(c.dual_objective, best + 1e-9);
    EXPECT_EQ(c.objective, 6.0);  // 12 labels, nothing predicted
    EXPECT_EQ(c.violation, 0.0);
    highest = std::max(highest, c.dual_objective);
  }
  EXPECT_GT(highest, 0.0);
}

TEST(ReluCertificate, SeesPointsOutsideTheCones) {
  const Problem problem = random_relu_problem(12, 3, 3, 6);
  Matrix<double> u(6, 3);
  for (std::size_t j = 0; j < 3; ++j) u(1, j) = -2.5 * static_cast<double>(problem.gates(1, j));  // minus a gate
  ReluDual dual{std::vector<double>(12), {6, std::vector<std::pair<std::size_t, double>>()}};
  double violation = 0;
  double loss = 0;
  for (std::size_t i = 0; i < 12; ++i) {
    const double z = inner(problem.x.row(i), static_cast<const Matrix<double>&>(u).row(1));
    violation =
        std::max(violation, std::abs(z) / std::sqrt(inner(problem.x.row(i), problem.x.row(i))) / norm(u.row(1)));
    const double error = std::max(0.0, z) - problem.y[i];  // the network, not the gated model
    loss += error * error / 2;
  }
  const ReluCertificate c = certify_relu(problem.x.view(), problem.y, problem.gates.view(), u.view(), dual, 0.5);
  EXPECT_NEAR(c.violation, violation, 1e-12);
  EXPECT_NEAR(c.objective, loss + 0.5 * norm(u.row(1)), 1e-9);
  EXPECT_EQ(c.dual_objective, 0.0);
}

TEST(Relu, TheGatedProgramIsARelaxation) {
  // w = u+ - u- makes the same predictions at no higher penalty, so every lower bound of (G) is one of (R).
  for (const double ratio : {0.5, 0.1, 0.02}) {
    const Problem problem = random_relu_problem(200, 6, 4, 7);
    const ReluResult result = solve_relu(problem, ratio, 1e-5);
    ASSERT_EQ(result.info.status, SolveStatus::Solved);
    ThreadPool pool(1);
    const double beta = ratio * ReluSolver(problem.x.view(), problem.y, problem.gates.view(), pool).beta_max();
    Matrix<float> w(4, 6);
    for (std::size_t k = 0; k < 24; ++k) {
      w.values()[k] = static_cast<float>(result.u.values()[k] - result.u.values()[24 + k]);
    }
    Targets targets;
    targets.loss = Loss::Squared;
    targets.labels = problem.y;
    targets.weights.assign(200, 1.0f);
    const Certificate gated = certify_gated(DesignRows<float>{{{problem.x.view(), {}}}}, targets, problem.gates.view(),
                                            w.view(), 0, false, beta);
    EXPECT_LE(gated.dual_objective, result.certificate.objective);
    EXPECT_LE(gated.objective, result.certificate.objective * (1 + 1e-6));
  }
}

TEST(Relu, PublishedIterationEndsAtTheSamePoint) {
  // CRONOS's own ADMM, in double and run for very long: it has the same fixed point. Predictions are unique, and within
  // sqrt(2 gap) of the optimal ones.
  const Problem problem = random_relu_problem(40, 4, 3, 8);
  constexpr double kRatio = 0.1;
  const ReluResult result = solve_relu(problem, kRatio, 1e-6);
  ASSERT_EQ(result.info.status, SolveStatus::Solved);
  ThreadPool pool(1);
  Matrix<double> x(40, 4);
  std::ranges::copy(problem.x.values(), x.values().begin());
  const std::vector<double> y(problem.y.begin(), problem.y.end());
  const Matrix<std::uint8_t> pattern = gate_pattern(problem.x.view(), problem.gates.view(), pool);
  const Matrix<double>& rows = x;
  GatedOperator<double> f(DesignRows<double>{{{rows.view(), {}}}}, pattern, pool);
  CronosSettings settings;
  settings.beta = kRatio * ReluSolver(problem.x.view(), problem.y, problem.gates.view(), pool).beta_max();
  settings.rho = 1;
  settings.pcg_max_iterations = 200;
  settings.pcg_tolerance = 1e-11;
  settings.admm_iterations = 20000;
  Cronos<double> cronos(f, pattern, y, settings, pool);
  cronos.run();
  double error = 0;
  for (std::size_t i = 0; i < 40; ++i) {
    double mine = 0;
    double theirs = 0;
    for (std::size_t p = 0; p < 3; ++p) {
      for (std::size_t j = 0; j < 4; ++j) {
        const double gated = problem.open(i, p) * x(i, j);
        mine += gated * (result.u(p, j) - result.u(3 + p, j));
        theirs += gated * (cronos.state().v[0](p, j) - cronos.state().v[1](p, j));
      }
    }
    error += (mine - theirs) * (mine - theirs);
  }
  EXPECT_LE(std::sqrt(error), std::sqrt(2 * 1e-6 * result.info.objective) + 1e-3);
}

TEST(Relu, NetworkGivesTheObjective) {
  const Problem problem = random_relu_problem(60, 4, 3, 9);
  const ReluResult result = solve_relu(problem, 0.1, 1e-4);
  double loss = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    double score = 0;
    for (std::size_t s = 0; s < 6; ++s) {
      double t = 0;
      for (std::size_t j = 0; j < 4; ++j) t += result.network.theta1(j, s) * static_cast<double>(problem.x(i, j));
      score += result.network.theta2[s] * std::max(0.0, t);
    }
    loss += (score - problem.y[i]) * (score - problem.y[i]) / 2;
  }
  double penalty = 0;  // half the squared weights of both layers is the group norm
  for (const double value : result.network.theta1.values()) penalty += value * value / 2;
  for (const double value : result.network.theta2) penalty += value * value / 2;
  ThreadPool pool(1);
  const double beta = 0.1 * ReluSolver(problem.x.view(), problem.y, problem.gates.view(), pool).beta_max();
  EXPECT_NEAR(loss + beta * penalty, result.certificate.objective, 1e-9 * result.certificate.objective);
  EXPECT_EQ(result.info.objective, result.certificate.objective);
  EXPECT_EQ(result.info.dual_objective, result.certificate.dual_objective);
}

TEST(Relu, APathOfPenaltiesReachesTheSameObjectives) {
  const Problem problem = random_relu_problem(300, 8, 5, 10);
  ThreadPool pool(2);
  ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool);
  const double beta_max = solver.beta_max();
  for (const double ratio : {0.5, 0.1, 0.02, 0.3}) {
    ReluSettings settings;
    settings.beta = ratio * beta_max;
    settings.tolerance = 1e-5;
    const ReluResult warm = solver.solve(settings);
    const ReluResult cold = solve_relu(problem, ratio, 1e-5);
    ASSERT_EQ(warm.info.status, SolveStatus::Solved) << ratio;
    ASSERT_EQ(cold.info.status, SolveStatus::Solved) << ratio;
    EXPECT_NEAR(warm.info.objective, cold.info.objective, 1.2e-5 * cold.info.objective);
  }
}

TEST(Relu, ThreadsDoNotMatter) {
  const Problem problem = random_relu_problem(500, 6, 4, 11);
  const ReluResult one = solve_relu(problem, 0.1, 1e-5, 1);
  const ReluResult three = solve_relu(problem, 0.1, 1e-5, 3);
  EXPECT_NEAR(one.info.objective, three.info.objective, 1.2e-5 * one.info.objective);
  const ReluResult again = solve_relu(problem, 0.1, 1e-5, 3);
  EXPECT_EQ(three.info.objective, again.info.objective);
}

TEST(Relu, AbovePenaltyMaximumAllIsZero) {
  const Problem problem = random_relu_problem(80, 4, 3, 12);
  const ReluResult zero = solve_relu(problem, 1.001, 1e-6);
  EXPECT_EQ(zero.info.status, SolveStatus::Solved);
  EXPECT_EQ(zero.info.iterations, 0);
  EXPECT_EQ(norm(zero.u.values()), 0.0);
  EXPECT_EQ(zero.certificate.objective, 40.0);
  EXPECT_LE(zero.certificate.relative_gap, 1e-9);
  EXPECT_GT(norm(solve_relu(problem, 0.9, 1e-6).u.values()), 0.0);
}

TEST(Relu, LimitsAreStatuses) {
  const Problem problem = random_relu_problem(300, 10, 5, 13);
  ThreadPool pool(1);
  ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool);
  ReluSettings settings;
  settings.beta = 0.02 * solver.beta_max();
  settings.tolerance = 1e-6;
  settings.max_iterations = 1;
  int calls = 0;
  settings.observer = [&](const ReluProgress& progress) {
    ++calls;
    EXPECT_LE(progress.dual_objective, progress.objective);
  };
  const ReluResult one = solver.solve(settings);
  EXPECT_EQ(one.info.status, SolveStatus::IterationLimit);
  EXPECT_EQ(one.info.iterations, 1);
  EXPECT_EQ(calls, 1);
  EXPECT_GT(one.info.passes_over_x, 0u);
  settings.max_iterations = 1000;
  settings.tolerance = 1e-16;  // beyond what single precision can certify
  const ReluResult stalled = solver.solve(settings);
  EXPECT_TRUE(stalled.info.status == SolveStatus::Stalled || stalled.info.status == SolveStatus::IterationLimit);
  EXPECT_LE(stalled.certificate.relative_gap, 1e-5);
}

TEST(Relu, ALateOneHasAFeasiblePointOrNone) {
  const Problem problem = random_relu_problem(2000, 12, 20, 15);
  ThreadPool pool(2);
  const double beta = 0.002 * ReluSolver(problem.x.view(), problem.y, problem.gates.view(), pool).beta_max();
  int with = 0;
  int without = 0;
  for (double limit_s = 1e-4; limit_s < 3 && with < 3; limit_s *= 1.5) {
    SCOPED_TRACE(limit_s);
    try {
      ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool, Deadline::after(limit_s));
      ReluSettings settings;
      settings.beta = beta;
      settings.tolerance = 1e-9;
      const ReluResult late = solver.solve(settings);
      ++with;
      EXPECT_EQ(late.info.status, SolveStatus::TimeLimit);
      EXPECT_LE(late.certificate.violation, 1e-10);
      EXPECT_LE(late.certificate.objective, 1000.0 * (1 + 1e-12));  // n / 2: that of no neurons, which is feasible
      EXPECT_GE(late.certificate.relative_gap, -1e-9);
    } catch (const Late&) {
      ++without;
    }
  }
  EXPECT_GT(with, 0);
  EXPECT_GT(without, 0);
}

TEST(ReluDeathTest, AnInterruptKeepsTheBestPoint) {
  const Problem problem = random_relu_problem(300, 10, 5, 14);
  EXPECT_EXIT(
      {
        ThreadPool pool(1);
        ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool);
        ReluSettings settings;
        settings.beta = 0.02 * solver.beta_max();
        settings.tolerance = 1e-16;
        install_stop_handler();
        settings.observer = [](const ReluProgress& progress) {
          if (progress.iteration == 20) ::raise(SIGINT);
        };
        const ReluResult result = solver.solve(settings);
        const bool kept = result.info.status == SolveStatus::Interrupted && result.info.iterations == 20 &&
                          result.certificate.violation <= 1e-10 &&
                          result.certificate.objective < 0.999 * result.certificate.objective + 1;
        std::_Exit(kept ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(ReluReal, GapClosesAtATenthOfThePenaltyMaximum) {
  COALA_NEEDS_SHARED("data/features/imdb_minilm.safetensors");
  const SafetensorsFile file(test::shared_file("data/features/imdb_minilm.safetensors"));
  const std::size_t d = file.tensor("features").shape.at(1);
  const std::vector<float> features = file.read_f32("features");
  const std::vector<std::int64_t> labels = file.read_i64("labels");
  Problem problem;
  problem.x = Matrix<float>(1500, 64);
  for (std::size_t i = 0; i < 1500; ++i) {
    const std::size_t from = i * 7919 % labels.size();  // the file is sorted by label
    std::copy_n(features.begin() + static_cast<long>(from * d), 64, problem.x.row(i).begin());
    problem.y.push_back(static_cast<float>(labels[from]));
  }
  problem.gates = draw_gates(5, 64, 0);
  const ReluResult result = solve_relu(problem, 0.1, 1e-4, 2);
  EXPECT_EQ(result.info.status, SolveStatus::Solved);
  EXPECT_LE(result.certificate.relative_gap, 1.1e-4);
  EXPECT_LE(result.certificate.violation, 1e-10);
}

}  // namespace
}  // namespace coala
