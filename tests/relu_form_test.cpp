// A gated head as a ReLU network.
#include "head/relu_form.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "head/fit.h"
#include "reference.h"
#include "solver/gates.h"
#include "support.h"
#include "synthetic.h"

namespace coala {
namespace {

double bent_truth(std::span<const float> x) {
  const auto first = static_cast<double>(x[0]);
  return 6 * (std::abs(first) - 0.7);
}

/// The score of a ReLU network, by plain loops.
double relu_score(const Network& network, std::span<const float> x) {
  double sum = network.bias;
  for (std::size_t j = 0; j < network.theta2.size(); ++j) {
    const double t = test::inner(std::span<const float>(network.theta1.row(j)), x);
    sum += static_cast<double>(network.theta2[j]) * std::max(t, 0.0);
  }
  return sum;
}

double gated_score(const Network& network, std::span<const float> x) {
  double sum = network.bias;
  for (std::size_t j = 0; j < network.theta2.size(); ++j) {
    if (test::inner(std::span<const float>(network.gates.row(j)), x) < 0) continue;
    sum += static_cast<double>(network.theta2[j]) * test::inner(std::span<const float>(network.theta1.row(j)), x);
  }
  return sum;
}

double longest(const StoredRows& stored) {
  const Matrix<float> rows = stored.matrix();
  double most = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) most = std::max(most, test::inner(rows.row(i), rows.row(i)));
  return std::sqrt(most);
}

/// Both layers of the ReLU network are rounded to single precision, and the products of the gated one before it is
/// split: a relative 2^-24 each of terms whose absolute sum is at most norm times length of the row.
double rounding(const ReluForm& form, double length) {
  return 0x1p-24 * (2 * form.relu_norm + form.gated_norm) * length * 1.01;
}

TEST(ReluForm, SecondLayersOfEverySignKeepTheScores) {
  for (const bool pairs : {false, true}) {
    const FeatureSet set = pairs ? test::pair_set(80, 5, bent_truth, 1) : test::labelled_set(80, 5, bent_truth, 1);
    const TrainingRows rows(set, FeatureTransform::identity(5), pairs ? Loss::BradleyTerry : Loss::Logistic, 3, 0);
    Random random(2);
    Network gated;
    gated.theta1 = test::normal_matrix(5, 5, random);
    gated.gates = test::normal_matrix(5, 5, random);
    std::ranges::fill(gated.gates.row(0), 0.0f);
    gated.theta2 = {0.5f, -0.7f, 1.3f, 0.0f, -2.0f};  // one that Phase II has switched off
    gated.bias = 0.25f;
    Network relu = gated;
    ThreadPool pool(2);
    const ReluForm form = take_relu_form(relu, rows, pool);
    EXPECT_FALSE(relu.gated());
    EXPECT_LE(relu.neurons(), 8u);  // two for each that is not off
    double gated_norm = 0;
    for (std::size_t j = 0; j < 5; ++j) {
      gated_norm += std::abs(static_cast<double>(gated.theta2[j])) *
                    std::sqrt(test::inner(std::span<const float>(gated.theta1.row(j)),
                                          std::span<const float>(gated.theta1.row(j))));
    }
    EXPECT_NEAR(form.gated_norm, gated_norm, 1e-5 * gated_norm);
    double relu_norm = 0;
    for (std::size_t j = 0; j < relu.neurons(); ++j) {
      relu_norm += std::abs(static_cast<double>(relu.theta2[j])) *
                   std::sqrt(test::inner(std::span<const float>(relu.theta1.row(j)),
                                         std::span<const float>(relu.theta1.row(j))));
    }
    EXPECT_NEAR(form.relu_norm, relu_norm, 1e-5 * relu_norm);
    EXPECT_GE(form.relu_norm, form.gated_norm);  // the triangle inequality
    double largest = 0;
    for (const StoredRows* side : {&set.features, &set.chosen, &set.rejected}) {
      for (std::size_t i = 0; i < side->rows(); ++i) {
        const double difference = std::abs(gated_score(gated, side->row(i)) - relu_score(relu, side->row(i)));
        EXPECT_LE(difference, rounding(form, longest(*side))) << i;
        largest = std::max(largest, difference);
      }
    }
    EXPECT_NEAR(form.largest_difference, largest, 1e-12);
  }
}

TEST(ReluForm, ALinearHeadIsExactEverywhere) {
  const FeatureSet set = test::labelled_set(50, 4, bent_truth, 3);
  const TrainingRows rows(set, FeatureTransform::identity(4), Loss::Logistic, 3, 0);
  Random random(4);
  Network linear;
  linear.theta1 = test::normal_matrix(1, 4, random);
  linear.gates = Matrix<float>(1, 4);
  linear.theta2 = {-1.5f};
  Network relu = linear;
  ThreadPool pool(1);
  const ReluForm form = take_relu_form(relu, rows, pool);
  EXPECT_EQ(relu.neurons(), 2u);
  EXPECT_NEAR(form.relu_norm, 2 * form.gated_norm, 1e-9);
  const Matrix<float> elsewhere = test::normal_matrix(200, 4, random, 10);
  for (std::size_t i = 0; i < 200; ++i) {
    EXPECT_NEAR(relu_score(relu, elsewhere.row(i)), gated_score(linear, elsewhere.row(i)),
                rounding(form, longest(elsewhere)));
  }
}

TEST(ReluForm, RefusesWhatHasNoSplit) {
  FeatureSet set = test::labelled_set(20, 2, bent_truth, 5);
  Matrix<float> features(20, 2);
  for (std::size_t i = 0; i < 20; ++i) features(i, 0) = i % 2 == 0 ? 1 : -1;
  set.features = std::move(features);  // the gate (0, 1) goes through every row
  const TrainingRows rows(set, FeatureTransform::identity(2), Loss::Logistic, 3, 0);
  Network network;
  network.theta1 = Matrix<float>(1, 2);
  network.theta1(0, 0) = 1;
  network.gates = Matrix<float>(1, 2);
  network.gates(0, 1) = 1;
  network.theta2 = {1};
  ThreadPool pool(1);
  EXPECT_EQ(test::error_code_of([&] { take_relu_form(network, rows, pool); }), ErrorCode::BadInput);
}

TEST(ReluForm, AFitWithItScoresTheTrainingRowsAlike) {
  ThreadPool pool(2);
  for (const bool pairs : {false, true}) {
    const FeatureSet set = pairs ? test::pair_set(600, 4, bent_truth, 6) : test::labelled_set(600, 4, bent_truth, 6);
    FitSettings settings;
    settings.gates = 6;
    settings.path_length = 8;
    const FitResult gated = fit_head(set, settings, pool);
    settings.as_relu = true;
    const FitResult relu = fit_head(set, settings, pool);
    ASSERT_TRUE(relu.relu_form);
    EXPECT_FALSE(gated.relu_form);
    EXPECT_TRUE(gated.network.gated());
    EXPECT_FALSE(gated.chosen.linear);  // or nothing would be tested
    ASSERT_FALSE(relu.network.gated());
    const test::TemporaryFolder folder;
    save_head(make_head(relu, set), folder / "head");
    const Head head = load_head(folder / "head");
    EXPECT_EQ(head.value("activation"), "relu");
    for (const StoredRows* side : {&set.features, &set.chosen, &set.rejected}) {
      Matrix<float> x = side->matrix();
      for (std::size_t i = 0; i < x.rows(); ++i) {
        gated.transform.apply(std::span<const float>(x.row(i)), x.row(i));
      }
      const double allowed = rounding(*relu.relu_form, longest(x));
      for (std::size_t i = 0; i < side->rows(); ++i) {
        EXPECT_NEAR(head.score(side->row(i)), (Head{gated.transform, gated.network, {}}).score(side->row(i)), allowed);
      }
    }
  }
  FitSettings published;
  published.as_relu = true;
  for (const ModelClass model_class : {ModelClass::Cronos, ModelClass::Relu}) {
    published.model_class = model_class;
    const FeatureSet set = test::labelled_set(60, 3, bent_truth, 7);
    EXPECT_EQ(test::error_code_of([&] { fit_head(set, published, pool); }), ErrorCode::BadUsage);
  }
}

}  // namespace
}  // namespace coala
