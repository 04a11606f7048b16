// Losses, their conjugates, and the bias that is minimised over exactly.
#include "solver/loss.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference.h"
#include "solver/prediction.h"
#include "support.h"

namespace coala {
namespace {

ThreadPool pool(2);

/// Rows with both labels, uneven weights and (not for the squared loss, which has none) margins.
Targets sample(Loss loss) {
  Targets targets;
  targets.loss = loss;
  targets.labels = {1, -1, 1, -1, 1};
  if (loss == Loss::BradleyTerry) targets.labels = {1, 1, 1, 1, 1};
  targets.weights = {1, 1, 0.25f, 3, 0.1f};
  if (loss != Loss::Squared) targets.margins = {0, 0, 1.5f, -0.5f, 4};
  return targets;
}

class LossTest : public ::testing::TestWithParam<Loss> {};

TEST_P(LossTest, DerivativesAreThoseOfTheValue) {
  const Targets targets = sample(GetParam());
  for (std::size_t i = 0; i < targets.labels.size(); ++i) {
    for (double z = -6; z <= 6; z += 0.37) {
      // Central differences: truncation h^2/6 times the third (fourth) derivative, rounding u/h (u/h^2) of the value.
      const double h = 1e-4;
      const double value = loss_value(targets, i, z);
      const double up = loss_value(targets, i, z + h);
      const double down = loss_value(targets, i, z - h);
      EXPECT_NEAR(loss_derivative(targets, i, z), (up - down) / (2 * h), 1e-8);
      EXPECT_NEAR(loss_curvature(targets, i, z),
                  (loss_derivative(targets, i, z + h) - loss_derivative(targets, i, z - h)) / (2 * h), 1e-8);
      EXPECT_LE(loss_curvature(targets, i, z), targets.weights[i] * loss_curvature_bound(GetParam()));
      EXPECT_GT(value, 0);
    }
  }
}

TEST_P(LossTest, ConjugateObeysFenchelYoung) {
  const Targets targets = sample(GetParam());
  for (std::size_t i = 0; i < targets.labels.size(); ++i) {
    for (double z = -8; z <= 8; z += 0.61) {
      // Equality where s is the derivative at z ...
      const double s = loss_derivative(targets, i, z);
      EXPECT_NEAR(loss_value(targets, i, z) + loss_conjugate(targets, i, s), s * z, 1e-12 * (1 + std::abs(s * z)));
      // ... and an inequality at every other point of the domain.
      for (double at = -8; at <= 8; at += 0.83) {
        const double other = loss_derivative(targets, i, at);
        EXPECT_GE(loss_value(targets, i, z) + loss_conjugate(targets, i, other) - other * z, -1e-12);
      }
    }
    if (GetParam() == Loss::Squared) continue;
    const double y = targets.labels[i];
    const double weight = targets.weights[i];
    EXPECT_EQ(loss_conjugate(targets, i, 0.01 * y), HUGE_VAL);
    EXPECT_EQ(loss_conjugate(targets, i, -1.01 * weight * y), HUGE_VAL);
    EXPECT_NEAR(loss_conjugate(targets, i, 0), 0, 0);
    EXPECT_NEAR(loss_conjugate(targets, i, -weight * y), -weight * targets.margin(i), 1e-12);
  }
}

TEST_P(LossTest, ExtremeArgumentsStayFinite) {
  const Targets targets = sample(GetParam());
  for (std::size_t i = 0; i < targets.labels.size(); ++i) {
    for (const double z : {-1e6, -800.0, -40.0, 40.0, 800.0, 1e6}) {
      const double value = loss_value(targets, i, z);
      EXPECT_TRUE(std::isfinite(value)) << z;
      EXPECT_TRUE(std::isfinite(loss_derivative(targets, i, z))) << z;
      EXPECT_TRUE(loss_curvature(targets, i, z) >= 0) << z;
      EXPECT_TRUE(std::isfinite(loss_conjugate(targets, i, loss_derivative(targets, i, z)))) << z;
      const double y = targets.labels[i];
      if (GetParam() != Loss::Squared && y * z < -100) {  // the straight branch
        EXPECT_NEAR(value, targets.weights[i] * (targets.margin(i) - y * z), 1e-9 * std::abs(z));
        EXPECT_NEAR(loss_derivative(targets, i, z), -y * targets.weights[i], 1e-12);
      }
    }
  }
}

TEST_P(LossTest, WeightZeroLeavesARowOut) {
  Targets targets = sample(GetParam());
  targets.weights[2] = 0;
  EXPECT_EQ(loss_value(targets, 2, 3.0), 0);
  EXPECT_EQ(loss_derivative(targets, 2, 3.0), 0);
  EXPECT_EQ(loss_conjugate(targets, 2, 0.0), 0);
  EXPECT_EQ(loss_conjugate(targets, 2, 0.1), HUGE_VAL);
  std::vector<float> r(5, std::nanf(""));
  const std::vector<float> z{0, 0, 1e30f, 0, 0};
  loss_derivatives(targets, z, 0.0, r, pool);
  EXPECT_EQ(r[2], 0.0f);
  EXPECT_TRUE(std::isfinite(total_loss(targets, z, 0.0, pool)));
}

std::string name_of(const ::testing::TestParamInfo<Loss>& info) {
  return std::string(loss_name(info.param));
}
INSTANTIATE_TEST_SUITE_P(All, LossTest, ::testing::ValuesIn(kLosses), name_of);

TEST(Bias, MakesTheSlopeVanish) {
  Random random(1);
  // Predictions far from zero need a bias as far; a Newton step from the start would be useless there.
  for (const Loss loss : {Loss::Squared, Loss::Logistic}) {
    for (const double offset : {0.0, 3.0, -50.0, 700.0, -2e4, 1e6}) {
      for (const double spread : {0.1, 1.0, 30.0}) {
        Targets targets;
        targets.loss = loss;
        std::vector<float> z;
        for (int i = 0; i < 200; ++i) {
          z.push_back(static_cast<float>(offset + spread * random.normal()));
          targets.labels.push_back(random.below(4) == 0 ? 1.0f : -1.0f);
          targets.weights.push_back(static_cast<float>(random.uniform() + 0.1));
        }
        const double bias = optimal_bias(targets, z, 0.0, pool);
        double slope = 0;
        double scale = 0;
        for (std::size_t i = 0; i < z.size(); ++i) {
          const double derivative = loss_derivative(targets, i, static_cast<double>(z[i]) + bias);
          slope += derivative;
          scale += std::abs(derivative);
        }
        // z + bias itself is only known to 2^-53 |offset|: the slope moves by at most the weight times that.
        EXPECT_LE(std::abs(slope), 1e-10 * scale + 200 * 0x1p-52 * std::abs(offset))
            << loss_name(loss) << " offset " << offset << " spread " << spread << " bias " << bias;
      }
    }
  }
}

TEST(Bias, OneClassHasNoMinimiserAndDoesNotRunAway) {
  Targets targets = sample(Loss::BradleyTerry);
  const std::vector<float> z{1, 2, 3, 4, 5};
  EXPECT_EQ(optimal_bias(targets, z, 0.25, pool), 0.25);
  targets.weights.assign(5, 0.0f);
  EXPECT_TRUE(std::isfinite(optimal_bias(targets, z, 0.0, pool)));
  targets.loss = Loss::Squared;
  EXPECT_EQ(optimal_bias(targets, z, 0.0, pool), 0);
}

TEST(Sums, AgreeWithTheLossOfEachRow) {
  // Whole registers and their ends, saturated arguments, margins or none, weights of zero.
  Random random(3);
  for (const Loss loss : kLosses) {
    for (const std::size_t n : {1, 7, 8, 9, 1000}) {
      for (const bool margins : {false, true}) {
        Targets targets;
        targets.loss = loss;
        std::vector<float> z;
        for (std::size_t i = 0; i < n; ++i) {
          z.push_back(static_cast<float>((i % 5 == 0 ? 1000 : 3) * random.normal()));
          targets.labels.push_back(loss == Loss::BradleyTerry || random.below(2) == 0 ? 1.0f : -1.0f);
          targets.weights.push_back(i % 11 == 3 ? 0.0f : static_cast<float>(random.uniform()));
          if (margins && loss != Loss::Squared) targets.margins.push_back(static_cast<float>(random.normal()));
        }
        const double bias = 0.7;
        double expected = 0;
        for (std::size_t i = 0; i < n; ++i) expected += loss_value(targets, i, static_cast<double>(z[i]) + bias);
        EXPECT_NEAR(total_loss(targets, z, bias, pool), expected, 1e-14 * static_cast<double>(n + 10) * expected);
        std::vector<float> r(n, std::nanf(""));
        loss_derivatives(targets, z, bias, r, pool);
        for (std::size_t i = 0; i < n; ++i) {
          const double derivative = loss_derivative(targets, i, static_cast<double>(z[i]) + bias);
          // One rounding to single precision, and denormal numbers that no solver can tell from zero.
          EXPECT_NEAR(r[i], derivative, 0x1p-23 * std::abs(derivative) + 1e-37) << i << " of " << n;
        }
      }
    }
  }
}

TEST(Dual, ValueIsTheBestMultiple) {
  // -sum conj(t theta) over t on a grid never exceeds what dual_value claims, and the claim is attained.
  Random random(2);
  for (const Loss loss : kLosses) {
    const Targets targets = sample(loss);
    std::vector<float> theta(5);
    for (std::size_t i = 0; i < 5; ++i) {
      theta[i] =
          static_cast<float>(loss_derivative(targets, i, 0.3 * random.normal() - (loss == Loss::Squared ? 0 : 2)));
    }
    for (const double limit : {0.0, 0.2, 0.7, 1.0, 30.0}) {
      const double claimed = dual_value(targets, theta, limit, pool);
      const double most = loss == Loss::Squared ? limit : std::min(1.0, limit);
      double best = -HUGE_VAL;
      for (int k = 0; k <= 1000; ++k) {
        double sum = 0;
        for (std::size_t i = 0; i < 5; ++i) {
          sum -= loss_conjugate(targets, i, most * k / 1000 * static_cast<double>(theta[i]));
        }
        best = std::max(best, sum);
        if (loss == Loss::Squared) {
          EXPECT_LE(sum, claimed + 1e-9) << limit;
        }
      }
      // Never more than what some multiple gives: it is a bound of the optimum.
      EXPECT_LE(claimed, best + 1e-4 * (1 + std::abs(best))) << loss_name(loss) << " " << limit;
    }
  }
}

}  // namespace
}  // namespace coala
