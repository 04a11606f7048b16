// F'F by the gated Gram blocks, and the model that chooses between them and passes over X.
#include <gtest/gtest.h>

#include <cmath>

#include "reference.h"
#include "solver/cronos.h"
#include "solver/gates.h"
#include "solver/gram_cost.h"
#include "solver/normal_operator.h"
#include "solver/relu.h"

namespace coala {
namespace {

using test::normal_matrix;
using test::rounding_bound;

template <class T>
struct Problem {
  Matrix<T> x;
  Matrix<std::uint8_t> pattern;
  Matrix<T> w;

  Problem(std::size_t n, std::size_t d, std::size_t groups, std::uint64_t seed, double scale = 1)
      : x(n, d), pattern(n, groups), w(groups, d) {
    Random random(seed);
    for (T& value : x.values()) value = static_cast<T>(scale * random.normal());
    for (T& value : w.values()) value = static_cast<T>(random.normal() / scale);
    for (std::uint8_t& open : pattern.values()) open = random.below(2) == 0 ? 1 : 0;
    for (std::size_t i = 0; i < n; ++i) {
      pattern(i, 0) = 1;                              // the always open gate
      if (groups > 2) pattern(i, 2) = pattern(i, 1);  // the same gate twice
      if (groups > 3) pattern(i, 3) = 0;              // a gate that is never open
    }
  }
  DesignRows<T> rows() const { return {{{x.view(), {}}}}; }

  Matrix<T> apply(NormalMethod method, int threads) const {
    ThreadPool pool(threads);
    GatedOperator<T> f(rows(), pattern, pool);
    NormalOperator<T> normal(f, pattern, 1, method);
    EXPECT_EQ(normal.uses_gram(), method == NormalMethod::Gram);
    Matrix<T> out(w.rows(), w.cols());
    normal.apply(w.view(), out.view());
    return out;
  }
};

/// Against plain loops in double, entry by entry: within the rounding of the numbers' own precision times the sum of
/// the absolute terms. A pass rounds a prediction (sums of P d terms) and sums it over n rows. A block is rounded once
/// when it is stored, its terms within 1024 rows; an application sums P d terms and the parts.
template <class T>
void expect_the_product(std::size_t n, std::size_t d, std::size_t groups, double scale = 1) {
  SCOPED_TRACE(::testing::Message() << n << " x " << d << ", " << groups << " gates, " << sizeof(T) << " bytes");
  const Problem<T> problem(n, d, groups, n + d, scale);
  Matrix<double> expected(groups, d);
  Matrix<double> sizes(groups, d);
  for (std::size_t i = 0; i < n; ++i) {
    double z = 0;
    double size = 0;
    for (std::size_t p = 0; p < groups; ++p) {
      for (std::size_t j = 0; problem.pattern(i, p) != 0 && j < d; ++j) {
        const double term = static_cast<double>(problem.x(i, j)) * static_cast<double>(problem.w(p, j));
        z += term;
        size += std::abs(term);
      }
    }
    for (std::size_t p = 0; p < groups; ++p) {
      for (std::size_t j = 0; problem.pattern(i, p) != 0 && j < d; ++j) {
        const auto x = static_cast<double>(problem.x(i, j));
        expected(p, j) += x * z;
        sizes(p, j) += std::abs(x) * size;
      }
    }
  }
  const double unit = sizeof(T) == sizeof(float) ? 0x1p-24 : 0x1p-53;
  for (const NormalMethod method : {NormalMethod::Passes, NormalMethod::Gram}) {
    const std::size_t roundings = groups * d + (method == NormalMethod::Gram ? std::min<std::size_t>(n, 1024) : n) + 16;
    const Matrix<T> out = problem.apply(method, 1);
    for (std::size_t k = 0; k < out.values().size(); ++k) {
      EXPECT_NEAR(static_cast<double>(out.values()[k]), expected.values()[k],
                  2 * rounding_bound(roundings, unit) * sizes.values()[k]);
    }
  }
}

TEST(NormalOperator, BothWaysAreTheProduct) {
  for (const auto& [n, d, groups] :
       {std::tuple<std::size_t, std::size_t, std::size_t>{1, 1, 1}, {5, 3, 4}, {1024, 7, 3}, {2500, 17, 6}}) {
    expect_the_product<float>(n, d, groups);
    expect_the_product<double>(n, d, groups);
  }
}

TEST(NormalOperator, SquaresMayLeaveTheRangeOfNumbers) {
  for (const double scale : {1e-30, 1e25}) expect_the_product<float>(1500, 5, 3, scale);
  for (const double scale : {1e-250, 1e250}) expect_the_product<double>(1500, 5, 3, scale);
}

TEST(NormalOperator, ThreadsDoNotMatter) {
  const Problem<float> problem(3000, 40, 9, 3);  // large enough for several threads in both loops
  const Matrix<float> one = problem.apply(NormalMethod::Gram, 1);
  for (const int threads : {2, 3, 5}) {
    const Matrix<float> more = problem.apply(NormalMethod::Gram, threads);
    EXPECT_TRUE(std::ranges::equal(one.values(), more.values())) << threads;
  }
}

TEST(NormalOperator, IsSymmetric) {
  // a' (F'F b) = b' (F'F a), in the rounding of the applications alone: the blocks are symmetric to the last bit.
  Problem<float> problem(2000, 12, 5, 4);
  const Matrix<float> a = problem.w;
  const Matrix<float> of_a = problem.apply(NormalMethod::Gram, 1);
  Random random(5);
  problem.w = normal_matrix(5, 12, random);
  const Matrix<float> of_b = problem.apply(NormalMethod::Gram, 1);
  double difference = 0;
  double size = 0;
  for (std::size_t k = 0; k < a.values().size(); ++k) {
    const auto left = static_cast<double>(a.values()[k]) * static_cast<double>(of_b.values()[k]);
    const auto right = static_cast<double>(problem.w.values()[k]) * static_cast<double>(of_a.values()[k]);
    difference += left - right;
    size += std::abs(left) + std::abs(right);
  }
  EXPECT_LE(std::abs(difference), 60 * 0x1p-24 * size);
}

TEST(NormalOperator, CountsItsWork) {
  const Problem<float> problem(2000, 12, 5, 6);
  ThreadPool pool(1);
  GatedOperator<float> f(problem.rows(), problem.pattern, pool);
  NormalOperator<float> normal(f, problem.pattern, 1, NormalMethod::Gram);
  EXPECT_EQ(normal.passes(), 1u);
  double products = 0;
  for (std::size_t i = 0; i < 2000; ++i) {
    double open = 0;
    for (std::size_t p = 0; p < 5; ++p) open += problem.pattern(i, p);
    products += open * (open + 1) / 2;
  }
  EXPECT_EQ(normal.flops(), products * 2 * 12 * 12);
  Matrix<float> out(5, 12);
  normal.apply(problem.w.view(), out.view());
  EXPECT_EQ(normal.flops(), products * 2 * 12 * 12 + 2.0 * 60 * 60);
  EXPECT_EQ(f.passes(), 0u);
  EXPECT_EQ(normal.passes(), 1u);
}

TEST(GramCost, ClearCases) {
  // P^2 d^2 = 25,600 against n d = 1,600,000 numbers, for hundreds of applications.
  EXPECT_TRUE(gram_pays({100000, 16, 10, 212}));
  EXPECT_TRUE(gram_pays({25000, 32, 10, 2000}));
  // One application needs the rows once; making the blocks needs them too, with d products each.
  EXPECT_FALSE(gram_pays({100000, 16, 10, 1}));
  // More numbers in the blocks than in X.
  EXPECT_FALSE(gram_pays({25000, 384, 16, 100000}));
  EXPECT_FALSE(gram_pays({1000, 1024, 10, 100000}));
  EXPECT_FALSE(gram_pays({500, 64, 64, 100000}));
  // Nothing to do at all.
  EXPECT_FALSE(gram_pays({0, 16, 10, 100}));
  EXPECT_FALSE(gram_pays({1000, 16, 10, 0}));
}

TEST(GramCost, MemoryIsBounded) {
  for (const std::size_t n : {100, 3000, 70000, 2000000}) {
    for (const std::size_t d : {1, 30, 200, 2000}) {
      for (const std::size_t groups : {1, 7, 40, 300}) {
        for (const std::size_t bytes : {4, 8}) {
          if (!gram_pays({n, d, groups, 1000000000, bytes})) continue;
          EXPECT_LE(groups * (groups + 1) / 2 * d * 2, n) << n << " " << d << " " << groups;
        }
      }
    }
  }
}

TEST(GramCost, MoreWorkNeverSpeaksForPasses) {
  bool ever = false;
  for (const std::size_t groups : {1, 4, 16, 64}) {
    for (const std::size_t d : {4, 32, 256}) {
      bool before = false;
      for (const std::size_t applications : {1, 10, 100, 1000, 10000, 100000}) {
        const bool now = gram_pays({50000, d, groups, applications});
        EXPECT_TRUE(now || !before) << d << " " << groups << " " << applications;
        before = now;
      }
      ever = ever || before;
      before = false;
      for (std::size_t n = 1000; n < 10000000; n *= 3) {  // with the rows, too: blocks stay as small as they were
        const bool now = gram_pays({n, d, groups, 100000});
        EXPECT_TRUE(now || !before) << d << " " << groups << " " << n;
        before = now;
      }
    }
  }
  EXPECT_TRUE(ever);
}

TEST(GramMode, CronosTakesItWhereItPaysAndNeedsFewPasses) {
  const Problem<double> problem(4000, 6, 3, 7);
  std::vector<double> y(4000);
  Random random(8);
  for (double& label : y) label = random.below(2) == 0 ? 1 : -1;
  std::array<CronosState<double>, 2> states;
  std::array<SolveInfo, 2> infos;
  for (const NormalMethod method : {NormalMethod::Passes, NormalMethod::Cheapest}) {
    ThreadPool pool(1);
    GatedOperator<double> f(problem.rows(), problem.pattern, pool);
    CronosSettings settings;
    settings.pcg_max_iterations = 500;  // converged: truncated iterates amplify rounding
    settings.pcg_tolerance = 1e-9;
    settings.nystrom_rank = 5;
    settings.normal = method;
    Cronos<double> cronos(f, problem.pattern, y, settings, pool);
    const std::size_t k = method == NormalMethod::Cheapest ? 1 : 0;
    infos[k] = cronos.run();
    states[k] = cronos.state();
  }
  EXPECT_GE(infos[0].passes_over_x, static_cast<std::uint64_t>(infos[0].cg_iterations));
  EXPECT_EQ(infos[1].passes_over_x, 1u);  // that of the blocks
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t k = 0; k < states[0].u[half].values().size(); ++k) {
      EXPECT_NEAR(states[0].u[half].values()[k], states[1].u[half].values()[k], 1e-7);
    }
  }
}

TEST(GramMode, TheReluProgramIsSolvedWithFewerPasses) {
  Random random(9);
  const Matrix<float> x = normal_matrix(6000, 6, random);
  std::vector<float> y;
  for (std::size_t i = 0; i < 6000; ++i) y.push_back(x(i, 0) * x(i, 1) > 0 ? 1.0f : -1.0f);
  const Matrix<float> gates = draw_gates(4, 6, 0);
  ThreadPool pool(1);
  ASSERT_TRUE(gram_pays({6000, 6, 4, 100}));
  ReluSolver solver(x.view(), y, gates.view(), pool);
  ReluSettings settings;
  settings.beta = 0.05 * solver.beta_max();
  const ReluResult result = solver.solve(settings);
  EXPECT_EQ(result.info.status, SolveStatus::Solved);
  EXPECT_LE(result.certificate.relative_gap, 1.1e-4);  // recomputed from the data
  EXPECT_LE(result.certificate.violation, 1e-10);
  EXPECT_GT(result.info.flops, 0);
}

}  // namespace
}  // namespace coala
