// Phase II: the second layer, by three methods and three objectives.
#include "head/phase_two.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "reference.h"
#include "support.h"

namespace coala {
namespace {

PhaseTwoRows sample(bool pairwise, std::size_t n, std::size_t m, std::uint64_t seed) {
  Random random(seed);
  PhaseTwoRows rows;
  rows.pairwise = pairwise;
  rows.activations = Matrix<double>(n, m);
  for (std::size_t i = 0; i < n; ++i) {
    double z = 0;
    for (std::size_t j = 0; j < m; ++j) {
      rows.activations(i, j) = random.normal() * (1 + 0.5 * static_cast<double>(j));
      z += (j % 2 == 0 ? 0.8 : -0.3) * rows.activations(i, j);
    }
    const bool wins = random.uniform() < 1 / (1 + std::exp(-z - (pairwise ? 0 : 0.4)));
    rows.labels.push_back(pairwise || wins ? 1.0 : -1.0);
    if (pairwise && !wins) {
      for (double& value : rows.activations.row(i)) value = -value;
    }
    rows.weights.push_back(0.5 + random.uniform());
    if (pairwise) rows.margins.push_back(0.3 * random.normal());
  }
  return rows;
}

/// docs/math.md, "Phase II": mean of weight * softplus(offset - slope y z).
double mean_loss(const PhaseTwoRows& rows, const std::vector<double>& theta2, double bias,
                 const PhaseTwoSettings& settings) {
  double sum = 0;
  double weight = 0;
  for (std::size_t i = 0; i < rows.labels.size(); ++i) {
    double z = rows.pairwise ? 0.0 : bias;
    for (std::size_t j = 0; j < theta2.size(); ++j) z += theta2[j] * rows.activations(i, j);
    double t = 0;
    switch (settings.objective) {
      case PhaseTwoObjective::Preference:
        t = (rows.margins.empty() ? 0.0 : rows.margins[i]) - rows.labels[i] * z;
        break;
      case PhaseTwoObjective::Pairwise:
        t = 1 + settings.gamma - settings.beta_r * rows.labels[i] * z;
        break;
      case PhaseTwoObjective::Pointwise:
        t = settings.gamma - settings.beta_r * rows.labels[i] * z;
        break;
    }
    sum += rows.weights[i] * (t > 0 ? t + std::log1p(std::exp(-t)) : std::log1p(std::exp(t)));
    weight += rows.weights[i];
  }
  return sum / weight;
}

/// Mean of weight * y z.
double mean_margin(const PhaseTwoRows& rows, const std::vector<double>& theta2, double bias) {
  double sum = 0;
  double weight = 0;
  for (std::size_t i = 0; i < rows.labels.size(); ++i) {
    double z = rows.pairwise ? 0.0 : bias;
    for (std::size_t j = 0; j < theta2.size(); ++j) z += theta2[j] * rows.activations(i, j);
    sum += rows.weights[i] * rows.labels[i] * z;
    weight += rows.weights[i];
  }
  return sum / weight;
}

double ridge(const PhaseTwoRows& rows, const std::vector<double>& theta2, const std::vector<double>& centre,
             const PhaseTwoSettings& settings) {
  double weight = 0;
  for (const double value : rows.weights) weight += value;
  double sum = 0;
  for (std::size_t j = 0; j < theta2.size(); ++j) {
    double square = 0;
    for (std::size_t i = 0; i < rows.labels.size(); ++i) {
      square += rows.weights[i] * rows.activations(i, j) * rows.activations(i, j) / weight;
    }
    sum += settings.ridge / 2 * (square > 0 ? square : 1) * (theta2[j] - centre[j]) * (theta2[j] - centre[j]);
  }
  return sum;
}

/// Norm of the gradient of mean loss plus ridge at a result, by central differences (good to about 1e-9 for
/// activations around 1).
double gradient_norm(const PhaseTwoRows& rows, const PhaseTwoResult& result, const std::vector<double>& centre,
                     const PhaseTwoSettings& settings, double h = 1e-5) {
  const auto value = [&](const std::vector<double>& theta2, double bias) {
    return mean_loss(rows, theta2, bias, settings) + ridge(rows, theta2, centre, settings);
  };
  double sum = 0;
  for (std::size_t j = 0; j < centre.size(); ++j) {
    std::vector<double> up = result.theta2;
    std::vector<double> down = result.theta2;
    up[j] += h;
    down[j] -= h;
    const double slope = (value(up, result.bias) - value(down, result.bias)) / (2 * h);
    sum += slope * slope;
  }
  if (!rows.pairwise) {
    const double slope = (value(result.theta2, result.bias + h) - value(result.theta2, result.bias - h)) / (2 * h);
    sum += slope * slope;
  }
  return std::sqrt(sum);
}

class PhaseTwoTest : public ::testing::TestWithParam<std::tuple<PhaseTwoObjective, bool>> {
 protected:
  PhaseTwoSettings settings() const {
    PhaseTwoSettings result;
    result.objective = std::get<0>(GetParam());
    return result;
  }
  bool pairwise() const { return std::get<1>(GetParam()); }
};

TEST_P(PhaseTwoTest, NewtonFindsTheOptimum) {
  const PhaseTwoRows rows = sample(pairwise(), 400, 5, 1);
  const std::vector<double> start{1, 1, 1, 1, 1};
  const PhaseTwoResult result = fit_phase_two(rows, start, 0.2, settings());
  EXPECT_EQ(result.status, SolveStatus::Solved);
  EXPECT_LE(result.gradient_norm, 1e-10);
  EXPECT_LE(gradient_norm(rows, result, start, settings()), 1e-7);
  EXPECT_NEAR(result.objective_before, mean_loss(rows, start, 0.2, settings()), 1e-12);
  EXPECT_NEAR(result.objective, mean_loss(rows, result.theta2, result.bias, settings()), 1e-12);
  EXPECT_LT(result.objective, result.objective_before);
  EXPECT_EQ(result.objective_curve.front(), result.objective_before);
  EXPECT_EQ(result.objective_curve.size(), static_cast<std::size_t>(result.iterations) + 1);
  ASSERT_EQ(result.margin_curve.size(), result.objective_curve.size());
  EXPECT_NEAR(result.margin_curve.front(), mean_margin(rows, start, 0.2), 1e-12);
  EXPECT_NEAR(result.margin_curve.back(), mean_margin(rows, result.theta2, result.bias), 1e-12);
  if (pairwise()) {
    EXPECT_EQ(result.bias, 0);
  }
}

TEST_P(PhaseTwoTest, AcceleratedReachesTheSame) {
  const PhaseTwoRows rows = sample(pairwise(), 400, 4, 2);
  const std::vector<double> start{1, 1, 1, 1};
  PhaseTwoSettings other = settings();
  const PhaseTwoResult newton = fit_phase_two(rows, start, 0.0, other);
  other.solver = PhaseTwoSolver::Accelerated;
  const PhaseTwoResult accelerated = fit_phase_two(rows, start, 0.0, other);
  EXPECT_EQ(accelerated.status, SolveStatus::Solved);
  for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(accelerated.theta2[j], newton.theta2[j], 1e-6);
  EXPECT_NEAR(accelerated.bias, newton.bias, 1e-6);
  EXPECT_NEAR(accelerated.objective, newton.objective, 1e-12);
}

TEST_P(PhaseTwoTest, AdamwKeepsItsBestEpoch) {
  const PhaseTwoRows rows = sample(pairwise(), 300, 4, 3);
  const std::vector<double> start{0.1, 0.1, 0.1, 0.1};
  PhaseTwoSettings other = settings();
  const double optimum = fit_phase_two(rows, start, 0.0, other).objective;
  other.solver = PhaseTwoSolver::AdamW;
  other.epochs = 60;
  const PhaseTwoResult first = fit_phase_two(rows, start, 0.0, other);
  EXPECT_LT(first.objective, first.objective_before);
  EXPECT_EQ(first.objective, *std::min_element(first.objective_curve.begin(), first.objective_curve.end()));
  EXPECT_EQ(first.objective_curve.size(), 61u);
  EXPECT_GE(first.objective, optimum - 1e-3);  // the optimum carries a small ridge, AdamW does not
  const PhaseTwoResult again = fit_phase_two(rows, start, 0.0, other);
  EXPECT_EQ(first.theta2, again.theta2);
  EXPECT_EQ(first.bias, again.bias);
  // Started at the optimum it can only wander off.
  PhaseTwoSettings wandering = settings();
  wandering.ridge = 1e-12;
  const PhaseTwoResult newton = fit_phase_two(rows, start, 0.0, wandering);
  wandering.solver = PhaseTwoSolver::AdamW;
  wandering.epochs = 30;
  const PhaseTwoResult stayed = fit_phase_two(rows, newton.theta2, newton.bias, wandering);
  EXPECT_LE(stayed.objective, stayed.objective_before);
  EXPECT_LT(stayed.objective, stayed.objective_curve.back());
  other.seed = 1;
  EXPECT_NE(fit_phase_two(rows, start, 0.0, other).theta2, first.theta2);
}

TEST_P(PhaseTwoTest, SeparableRowsStayFinite) {
  PhaseTwoRows rows = sample(pairwise(), 50, 2, 4);
  for (std::size_t i = 0; i < 50; ++i) {
    rows.activations(i, 0) = rows.labels[i] * (3 + std::abs(rows.activations(i, 0)));
  }
  for (const PhaseTwoSolver solver : {PhaseTwoSolver::Newton, PhaseTwoSolver::Accelerated, PhaseTwoSolver::AdamW}) {
    PhaseTwoSettings other = settings();
    other.solver = solver;
    other.epochs = 20;
    const PhaseTwoResult result = fit_phase_two(rows, {1, 1}, 0.0, other);
    EXPECT_TRUE(std::isfinite(result.theta2[0]) && std::isfinite(result.theta2[1]) && std::isfinite(result.bias));
    EXPECT_TRUE(std::isfinite(result.objective));
    EXPECT_LT(std::abs(result.theta2[0]), 1e3) << name_of(solver);
    if (solver == PhaseTwoSolver::Newton) {
      EXPECT_EQ(result.status, SolveStatus::Solved);
    }
  }
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<PhaseTwoObjective, bool>>& info) {
  return std::string(name_of(std::get<0>(info.param))) + (std::get<1>(info.param) ? "_pairs" : "_labelled");
}
INSTANTIATE_TEST_SUITE_P(Objectives, PhaseTwoTest,
                         ::testing::Values(std::tuple(PhaseTwoObjective::Preference, true),
                                           std::tuple(PhaseTwoObjective::Preference, false),
                                           std::tuple(PhaseTwoObjective::Pairwise, true),
                                           std::tuple(PhaseTwoObjective::Pointwise, false)),
                         case_name);

TEST(PhaseTwo, NewtonConvergesOnManyRows) {
  // The sums of many terms are noisy; the line search must not mistake that for a rise.
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    PhaseTwoRows rows = sample(seed % 2 == 0, 20000, 6, seed);
    const double scale = std::pow(10.0, static_cast<double>(seed % 3));  // as raw features would give
    for (double& value : rows.activations.values()) value *= scale;
    const PhaseTwoResult result = fit_phase_two(rows, std::vector<double>(6, 1.0), 0.0, {});
    EXPECT_EQ(result.status, SolveStatus::Solved) << seed << " gradient " << result.gradient_norm;
    EXPECT_LE(result.gradient_norm, 1e-10) << seed;
  }
}

TEST(PhaseTwo, ManyNeuronsAreSolvedAlike) {
  // More than are factorised. Rows of few neurons, each one split into many that share its weight: the same function.
  constexpr std::size_t kCopies = 150;
  for (const bool pairwise : {false, true}) {
    const PhaseTwoRows few = sample(pairwise, 300, 4, 12);
    PhaseTwoRows many = few;
    many.activations = Matrix<double>(300, 4 * kCopies);
    for (std::size_t i = 0; i < 300; ++i) {
      for (std::size_t j = 0; j < 4 * kCopies; ++j) many.activations(i, j) = few.activations(i, j / kCopies);
    }
    // A copy has the ridge of the whole neuron, and the optimum shares the change out evenly: as one neuron with a
    // ridge that is smaller by the number of copies.
    PhaseTwoSettings split;
    PhaseTwoSettings whole;
    whole.ridge = split.ridge / kCopies;
    const PhaseTwoResult a = fit_phase_two(few, std::vector<double>(4, 1.0), 0.1, whole);
    const PhaseTwoResult b = fit_phase_two(many, std::vector<double>(4 * kCopies, 1.0 / kCopies), 0.1, split);
    ASSERT_EQ(b.status, SolveStatus::Solved);
    EXPECT_LE(b.gradient_norm, 1e-10);
    EXPECT_NEAR(a.objective, b.objective, 1e-9);
    EXPECT_NEAR(a.bias, b.bias, 1e-6);
    for (std::size_t j = 0; j < 4; ++j) EXPECT_NEAR(a.theta2[j] / kCopies, b.theta2[j * kCopies + 7], 1e-7);
  }
}

TEST(PhaseTwo, ALateOneKeepsItsStart) {
  for (const std::size_t neurons : {3, 600}) {
    const std::vector<double> start(neurons, 0.3);
    for (const PhaseTwoSolver solver : {PhaseTwoSolver::Newton, PhaseTwoSolver::Accelerated, PhaseTwoSolver::AdamW}) {
      PhaseTwoSettings settings;
      settings.solver = solver;
      const PhaseTwoResult late =
          fit_phase_two(sample(true, 50, neurons, 13), start, 0.0, settings, Deadline::after(0));
      EXPECT_EQ(late.status, SolveStatus::TimeLimit);
      EXPECT_EQ(late.iterations, 0);
      EXPECT_EQ(late.theta2, start);
      EXPECT_EQ(late.objective, late.objective_before);
    }
  }
}

TEST(PhaseTwo, WeightsAreRepeatedRows) {
  PhaseTwoRows weighted = sample(false, 90, 3, 7);
  PhaseTwoRows repeated = weighted;
  AlignedVector<double> values;
  repeated.labels.clear();
  repeated.weights.clear();
  for (std::size_t i = 0; i < 90; ++i) {
    weighted.weights[i] = static_cast<double>(1 + i % 2);
    for (std::size_t k = 0; k <= i % 2; ++k) {
      repeated.labels.push_back(weighted.labels[i]);
      repeated.weights.push_back(1);
      values.insert(values.end(), weighted.activations.row(i).begin(), weighted.activations.row(i).end());
    }
  }
  repeated.activations = Matrix<double>(repeated.labels.size(), 3, std::move(values));
  const PhaseTwoResult a = fit_phase_two(weighted, {1, 1, 1}, 0.0, {});
  const PhaseTwoResult b = fit_phase_two(repeated, {1, 1, 1}, 0.0, {});
  for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(a.theta2[j], b.theta2[j], 1e-8);
  EXPECT_NEAR(a.bias, b.bias, 1e-8);
  EXPECT_NEAR(a.objective, b.objective, 1e-12);
}

TEST(PhaseTwo, AdamwSeesTheWeights) {
  // Two groups of rows that disagree; whichever weighs more must win.
  PhaseTwoRows rows;
  rows.pairwise = true;
  rows.activations = Matrix<double>(200, 1);
  rows.labels.assign(200, 1.0);
  for (std::size_t i = 0; i < 200; ++i) rows.activations(i, 0) = i < 100 ? 1 : -1;
  PhaseTwoSettings settings;
  settings.solver = PhaseTwoSolver::AdamW;
  settings.epochs = 50;
  for (const bool first_heavier : {true, false}) {
    rows.weights.assign(200, 1.0);
    std::fill_n(rows.weights.begin() + (first_heavier ? 0 : 100), 100, 9.0);
    const PhaseTwoResult result = fit_phase_two(rows, {0.0}, 0.0, settings);
    EXPECT_EQ(result.theta2[0] > 1e-3, first_heavier) << result.theta2[0];
    EXPECT_EQ(result.theta2[0] < -1e-3, !first_heavier) << result.theta2[0];
  }
}

TEST(PhaseTwo, MarginsCountForPreferenceOnly) {
  PhaseTwoRows rows = sample(true, 200, 3, 8);
  PhaseTwoRows without = rows;
  without.margins.clear();
  PhaseTwoSettings settings;
  EXPECT_NE(fit_phase_two(rows, {1, 1, 1}, 0.0, settings).theta2,
            fit_phase_two(without, {1, 1, 1}, 0.0, settings).theta2);
  settings.objective = PhaseTwoObjective::Pairwise;
  EXPECT_EQ(fit_phase_two(rows, {1, 1, 1}, 0.0, settings).theta2,
            fit_phase_two(without, {1, 1, 1}, 0.0, settings).theta2);
}

TEST(PhaseTwo, SilentNeuronKeepsItsWeight) {
  PhaseTwoRows rows = sample(false, 100, 3, 9);
  for (std::size_t i = 0; i < 100; ++i) rows.activations(i, 1) = 0;
  for (const PhaseTwoSolver solver : {PhaseTwoSolver::Newton, PhaseTwoSolver::Accelerated}) {
    PhaseTwoSettings settings;
    settings.solver = solver;
    EXPECT_NEAR(fit_phase_two(rows, {1, 0.7, 1}, 0.0, settings).theta2[1], 0.7, 1e-7);
  }
}

TEST(PhaseTwo, NoNeuronsAtAll) {
  // A Phase I that switched every group off leaves a constant.
  for (const bool pairwise : {false, true}) {
    for (const PhaseTwoSolver solver : {PhaseTwoSolver::Newton, PhaseTwoSolver::Accelerated, PhaseTwoSolver::AdamW}) {
      PhaseTwoSettings settings;
      settings.solver = solver;
      settings.epochs = 3;
      const PhaseTwoResult result = fit_phase_two(sample(pairwise, 30, 0, 10), {}, 0.0, settings);
      EXPECT_TRUE(result.theta2.empty());
      EXPECT_TRUE(std::isfinite(result.bias) && std::isfinite(result.objective));
    }
  }
}

TEST(PhaseTwo, GradientNormIsOfTheResult) {
  // Badly scaled activations: the gradient method runs out of steps, and says where it is.
  PhaseTwoRows rows = sample(false, 100, 3, 11);
  for (std::size_t i = 0; i < 100; ++i) rows.activations(i, 2) *= 1e4;
  PhaseTwoSettings settings;
  settings.solver = PhaseTwoSolver::Accelerated;
  const PhaseTwoResult result = fit_phase_two(rows, {1, 1, 1e-4}, 0.0, settings);
  const double expected = gradient_norm(rows, result, {1, 1, 1e-4}, settings, 1e-8);
  EXPECT_NEAR(result.gradient_norm, expected, 1e-3 * expected + 1e-5) << status_name(result.status);
}

TEST(PhaseTwo, PairwiseObjectiveNeedsPairs) {
  PhaseTwoSettings settings;
  settings.objective = PhaseTwoObjective::Pairwise;
  EXPECT_EQ(test::error_code_of([&] {
              fit_phase_two(sample(false, 10, 2, 12), {1, 1}, 0.0, settings);
            }),
            ErrorCode::BadUsage);
}

}  // namespace
}  // namespace coala
