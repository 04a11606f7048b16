// Points of polyhedra and cones, and the split of gated weights into a ReLU network.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "reference.h"
#include "solver/active_set.h"
#include "solver/cone_decomposition.h"
#include "solver/cone_set.h"
#include "support.h"

namespace coala {
namespace {

using test::inner;
using test::norm;

Matrix<double> unit_rows(std::size_t m, std::size_t d, std::uint64_t seed, double lean = 0) {
  Random random(seed);
  Matrix<double> b(m, d);
  for (std::size_t i = 0; i < m; ++i) {
    for (double& value : b.row(i)) value = random.normal() + lean;
    const double size = norm(b.row(i));
    for (double& value : b.row(i)) value /= size;
  }
  return b;
}

double length(std::span<const float> v) {
  return std::sqrt(inner(v, v));
}

std::vector<double> random_vector(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> v(size);
  for (double& value : v) value = random.normal();
  return v;
}

/// The conditions that characterise the nearest point: feasible, u = z + B'alpha, alpha >= 0, complementary.
void expect_nearest(const Matrix<double>& b, const std::vector<double>& h, const std::vector<double>& z,
                    const std::vector<double>& u, const ActiveSet& active) {
  const double size = norm(z) + norm(u);
  for (std::size_t i = 0; i < b.rows(); ++i) {
    EXPECT_GE(inner(b.row(i), std::span<const double>(u)) - (h.empty() ? 0.0 : h[i]), -1e-11 * size) << i;
  }
  std::vector<double> rest = u;
  for (std::size_t j = 0; j < u.size(); ++j) rest[j] -= z[j];
  for (std::size_t k = 0; k < active.rows().size(); ++k) {
    const std::size_t i = active.rows()[k];
    EXPECT_GE(active.multipliers()[k], 0.0);
    EXPECT_NEAR(inner(b.row(i), std::span<const double>(u)), h.empty() ? 0.0 : h[i], 1e-11 * size);
    for (std::size_t j = 0; j < u.size(); ++j) rest[j] -= active.multipliers()[k] * b(i, j);
  }
  EXPECT_LE(norm(rest), 1e-9 * size);
}

TEST(ActiveSet, FindsTheNearestPoint) {
  for (const auto& [m, d, lean] : {std::tuple<std::size_t, std::size_t, double>{5, 3, 0.0},
                                   {40, 10, 0.5},
                                   {200, 20, 0.5},
                                   {6, 30, 0.0},
                                   {300, 3, 1.0},
                                   {50, 1, 3.0}}) {
    SCOPED_TRACE(::testing::Message() << m << " rows, d = " << d);
    const Matrix<double> b = unit_rows(m, d, 1, lean);
    ActiveSet active;
    for (std::uint64_t seed = 2; seed < 8; ++seed) {  // the later ones start from the active set of the one before
      const std::vector<double> z = random_vector(d, seed);
      std::vector<double> u(d);
      ASSERT_EQ(active.solve(b.view(), {}, z, u), ActiveSet::Status::Solved);
      expect_nearest(b, {}, z, u, active);
    }
  }
}

TEST(ActiveSet, BoundsThatAreNotZero) {
  for (const auto& [m, d] : {std::pair<std::size_t, std::size_t>{30, 6}, {120, 12}, {4, 9}}) {
    const Matrix<double> b = unit_rows(m, d, 11, 0.6);
    Random random(12);
    ActiveSet active;
    for (int k = 0; k < 4; ++k) {
      std::vector<double> h(m);
      for (double& value : h) value = random.normal();
      const std::vector<double> z = random_vector(d, 13);
      std::vector<double> u(d);
      ASSERT_EQ(active.solve(b.view(), h, z, u), ActiveSet::Status::Solved);
      expect_nearest(b, h, z, u, active);
    }
  }
}

TEST(ActiveSet, SaysWhenThereIsNoPoint) {
  const Matrix<double> b(3, 2, {1, 0, -1, 0, 0, 1});
  const std::vector<double> z{0.3, -2};
  std::vector<double> u(2);
  const std::vector<double> apart{1, 1, 0};
  EXPECT_EQ(ActiveSet().solve(b.view(), apart, z, u), ActiveSet::Status::Infeasible);
  ActiveSet active;  // -1 <= u_1 <= 1 is possible; so is a single point
  const std::vector<double> wide{-1, -1, 0};
  ASSERT_EQ(active.solve(b.view(), wide, z, u), ActiveSet::Status::Solved);
  EXPECT_NEAR(u[0], 0.3, 1e-14);
  EXPECT_NEAR(u[1], 0.0, 1e-14);
  const std::vector<double> point{0.5, -0.5, 0};
  ASSERT_EQ(active.solve(b.view(), point, z, u), ActiveSet::Status::Solved);
  EXPECT_NEAR(u[0], 0.5, 1e-12);
}

TEST(ActiveSet, ConesWithoutInterior) {
  // {u : u_1 = 0, u_2 >= 0}, every row twice; then the origin alone.
  const Matrix<double> ray(6, 2, {1, 0, -1, 0, 0, 1, 1, 0, -1, 0, 0, 1});
  std::vector<double> u(2);
  ActiveSet active;
  ASSERT_EQ(active.solve(ray.view(), {}, std::vector<double>{3, 4}, u), ActiveSet::Status::Solved);
  EXPECT_NEAR(u[0], 0, 1e-11);
  EXPECT_NEAR(u[1], 4, 1e-11);
  const Matrix<double> origin(4, 2, {1, 0, -1, 0, 0, 1, 0, -1});
  active.reset();
  ASSERT_EQ(active.solve(origin.view(), {}, std::vector<double>{3, 4}, u), ActiveSet::Status::Solved);
  EXPECT_LE(norm(u), 1e-10);
}

TEST(ConeSet, PointsSatisfyEveryRow) {
  for (const auto& [n, d, scale] : {std::tuple<std::size_t, std::size_t, float>{3000, 8, 1.0f},
                                    {40, 60, 1.0f},
                                    {700, 12, 1e-20f},
                                    {700, 12, 1e20f}}) {
    SCOPED_TRACE(::testing::Message() << n << " x " << d << ", scale " << scale);
    Random random(21);
    Matrix<float> x = test::normal_matrix(n, d, random);
    for (float& value : x.values()) value *= scale;
    for (float& value : x.row(n / 2)) value = 0;
    const Matrix<float> gates = test::normal_matrix(3, d, random);
    const Matrix<float>& features = x;
    ThreadPool pool(2);
    // Two blocks of unequal size.
    const std::vector<MatrixView<const float>> blocks{features.view().row_range(0, n / 3),
                                                      features.view().row_range(n / 3, n)};
    ConeSet cones(blocks, gates.view(), pool);
    std::vector<ConeSet::Slot> slots(6);
    Matrix<double> z(6, d);
    for (std::size_t s = 0; s < 6; ++s) {
      slots[s].cone = s % 3;
      for (double& value : z.row(s)) value = 1e3 * random.normal();
      for (std::size_t j = 0; j < d; ++j) z(s, j) += (s < 3 ? 2e3 : -2e3) * gates(s % 3, j);
    }
    Matrix<double> u(6, d);
    ASSERT_TRUE(cones.nearest(slots, z, u, 1000));
    for (std::size_t s = 0; s < 6; ++s) {
      const auto point = static_cast<const Matrix<double>&>(u).row(s);
      std::vector<double> rest(point.begin(), point.end());
      for (std::size_t j = 0; j < d; ++j) rest[j] -= z(s, j);
      const auto sign = [&](std::size_t i) { return inner(gates.row(s % 3), features.row(i)) >= 0 ? 1.0 : -1.0; };
      for (std::size_t i = 0; i < n; ++i) {
        EXPECT_GE(sign(i) * inner(features.row(i), point),
                  -2e-11 * length(features.row(i)) * (norm(point) + norm(z.row(s))));
      }
      for (const auto& [row, alpha] : cones.multipliers(slots[s])) {
        EXPECT_GE(alpha, 0.0);
        for (std::size_t j = 0; j < d; ++j) rest[j] -= alpha * sign(row) * static_cast<double>(features(row, j));
      }
      EXPECT_LE(norm(rest), 1e-8 * norm(z.row(s)));  // what is shorter than that counts as zero
      if (s < 3) {
        EXPECT_GT(norm(point), 0.1 * norm(z.row(s)));  // z was drawn towards the gate
      }
    }
  }
}

TEST(ConeSet, PointsOfOneConeShareItsConstraints) {
  // What one point adds to the working set, the others of the cone must be solved for again.
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Random random(seed);
    const Matrix<float> x = test::normal_matrix(60, 2, random);
    const Matrix<float> gates = test::normal_matrix(1, 2, random);
    ThreadPool pool(1);
    ConeSet cones({x.view()}, gates.view(), pool);
    std::vector<ConeSet::Slot> slots(8);
    Matrix<double> z(8, 2);
    for (double& value : z.values()) value = random.normal();
    for (std::size_t s = 0; s < 8; ++s) {
      for (std::size_t j = 0; j < 2; ++j) z(s, j) += 2 * gates(0, j);
    }
    Matrix<double> u(8, 2);
    ASSERT_TRUE(cones.nearest(slots, z, u, 1000));
    for (std::size_t i = 0; i < 60; ++i) {
      for (std::size_t s = 0; s < 8; ++s) {
        const double product = inner(x.row(i), static_cast<const Matrix<double>&>(u).row(s));
        EXPECT_GE(inner(gates.row(0), x.row(i)) >= 0 ? product : -product, -1e-10) << seed;
      }
    }
  }
}

/// Largest difference on the rows between the split network and the gated model, over the largest gated score.
double score_error(const test::Plain& plain, const Matrix<float>& w, const ConeDecomposition& split) {
  double error = 0;
  double size = 0;
  const std::size_t groups = w.rows();
  for (const auto& [plus, minus] : plain.segments) {
    for (const Matrix<float>* side : {&plus, &minus}) {
      for (std::size_t i = 0; i < side->rows(); ++i) {
        const auto x = side->row(i);
        double gated = 0;
        double relu = 0;
        double network = 0;
        for (std::size_t p = 0; p < groups; ++p) {
          if (inner(plain.gates.row(p), x) >= 0) gated += inner(w.row(p), x);
        }
        for (std::size_t s = 0; s < 2 * groups; ++s) {
          relu += (s < groups ? 1 : -1) * std::max(0.0, inner(x, split.u.row(s)));
          double t = 0;
          for (std::size_t j = 0; j < x.size(); ++j) t += split.network.theta1(j, s) * static_cast<double>(x[j]);
          network += split.network.theta2[s] * std::max(0.0, t);
        }
        error = std::max({error, std::abs(relu - gated), std::abs(network - gated)});
        size = std::max(size, std::abs(gated));
      }
    }
  }
  return error / size;
}

class Decomposition : public ::testing::TestWithParam<std::tuple<Loss, std::size_t, std::size_t>> {};

TEST_P(Decomposition, KeepsTheScoreOfEveryTrainingRow) {
  const auto& [loss, n, d] = GetParam();
  const test::Plain plain = test::random_problem(loss, n, d, 4, 31);  // gate 0 is the linear group
  Random random(32);
  Matrix<float> w = test::normal_matrix(4, d, random);
  for (float& value : w.row(2)) value = 0;  // a group that is off
  ThreadPool pool(2);
  const ConeDecomposition split = decompose_into_cones(plain.rows(), plain.gates.view(), w.view(), pool);
  EXPECT_TRUE(split.exact());
  EXPECT_LE(score_error(plain, w, split), 1e-6);
  for (std::size_t j = 0; j < d; ++j) EXPECT_EQ(split.u(2, j), 0.0);

  // u+ - u- = w in every gate but the linear one, whose pair is w and -w.
  for (std::size_t p = 0; p < 4; ++p) {
    for (std::size_t j = 0; j < d; ++j) {
      const double difference = p == 0 ? split.u(p, j) : split.u(p, j) - split.u(4 + p, j);
      EXPECT_NEAR(difference, static_cast<double>(w(p, j)), 1e-9 * split.relu_norm);
    }
  }
  double gated_norm = 0;
  double relu_norm = 0;
  for (std::size_t p = 0; p < 4; ++p) gated_norm += length(w.row(p));
  for (std::size_t s = 0; s < 8; ++s) relu_norm += norm(split.u.row(s));
  EXPECT_NEAR(split.gated_norm, gated_norm, 1e-9 * gated_norm);
  EXPECT_NEAR(split.relu_norm, relu_norm, 1e-9 * relu_norm);
  EXPECT_GE(split.relu_norm, split.gated_norm * (1 - 1e-12));  // the triangle inequality
}

INSTANTIATE_TEST_SUITE_P(Shapes, Decomposition,
                         ::testing::Values(std::tuple<Loss, std::size_t, std::size_t>{Loss::Squared, 60, 4},
                                           std::tuple<Loss, std::size_t, std::size_t>{Loss::Squared, 400, 12},
                                           std::tuple<Loss, std::size_t, std::size_t>{Loss::Logistic, 15, 40},
                                           std::tuple<Loss, std::size_t, std::size_t>{Loss::Logistic, 1, 3},
                                           std::tuple<Loss, std::size_t, std::size_t>{Loss::BradleyTerry, 150, 6}));

/// Rows whose cone at the gate (1, 1) is the positive quadrant.
struct Quadrant {
  Matrix<float> x{2, 2, {2, 0, 0, 0.5f}};
  Matrix<float> gates{1, 2, {1, 1}};
  DesignRows<float> rows() const { return {{{x.view(), {}}}}; }
};

TEST(ConeDecomposition, HasTheLeastNorms) {
  ThreadPool pool(1);
  const Quadrant quadrant;
  // Of weights inside the cone nothing is left to split; (a, -b) is (a, 0) - (0, b).
  for (const auto& [w0, w1, least] :
       {std::tuple<float, float, double>{3, 4, 5}, {1, -1, 2}, {3, -1, 4}, {-0.1f, 2, 2.1}, {-3, -4, 5}}) {
    const Matrix<float> w(1, 2, {w0, w1});
    const ConeDecomposition split = decompose_into_cones(quadrant.rows(), quadrant.gates.view(), w.view(), pool);
    EXPECT_TRUE(split.exact());
    // Reweighting ends at a relative gain of 1e-4 per round.
    EXPECT_NEAR(split.relu_norm, least, 0.01 * least) << w0 << " " << w1;
    EXPECT_GE(split.relu_norm, least - 1e-6);
  }
}

TEST(ConeDecomposition, SaysWhenAConeIsTooThin) {
  // Both rows lie on the boundary of the gate, so both count as open: the cone asks for u_2 >= 0 and -u_2 >= 0.
  const Matrix<float> x(3, 2, {0, 1, 0, -1, 1, 0});
  const Matrix<float> gates(1, 2, {1, 0});
  const DesignRows<float> rows{{{x.view(), {}}}};
  ThreadPool pool(1);
  const Matrix<float> across(1, 2, {1, 1});
  const ConeDecomposition none = decompose_into_cones(rows, gates.view(), across.view(), pool);
  EXPECT_FALSE(none.exact());
  EXPECT_EQ(none.status[0], SplitStatus::NoSplit);
  const Matrix<float> along(1, 2, {-2, 0});
  const ConeDecomposition fine = decompose_into_cones(rows, gates.view(), along.view(), pool);
  EXPECT_TRUE(fine.exact());
  EXPECT_NEAR(fine.relu_norm, 2, 1e-6);
}

TEST(ConeDecomposition, HugeAndTinyFeatures) {
  for (const float scale : {1e-20f, 1e20f}) {
    test::Plain plain = test::random_problem(Loss::Squared, 50, 4, 3, 41);
    for (float& value : plain.segments.front().first.values()) value *= scale;
    Random random(42);
    Matrix<float> w = test::normal_matrix(3, 4, random);
    for (float& value : w.values()) value /= scale;
    ThreadPool pool(1);
    const ConeDecomposition split = decompose_into_cones(plain.rows(), plain.gates.view(), w.view(), pool);
    EXPECT_TRUE(split.exact());
    EXPECT_LE(score_error(plain, w, split), 1e-6);
  }
}

TEST(ConeDecomposition, ShapesThatDisagreeAreAnError) {
  ThreadPool pool(1);
  const Quadrant quadrant;
  const Matrix<float> w(2, 2);
  EXPECT_EQ(test::error_code_of([&] { decompose_into_cones(quadrant.rows(), quadrant.gates.view(), w.view(), pool); }),
            ErrorCode::Internal);
}

}  // namespace
}  // namespace coala
