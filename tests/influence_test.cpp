// What rows have to do with a score, against programs solved again without them.
#include "head/influence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "core/error.h"
#include "head/fit.h"
#include "linalg/factorisation.h"
#include "solver/gated.h"
#include "solver/gated_operator.h"
#include "solver/metric.h"
#include "support.h"
#include "synthetic.h"

namespace coala {
namespace {

using test::error_code_of;

constexpr std::size_t kDimension = 6;

double line(std::span<const float> x) {
  return 1.5 * static_cast<double>(x[0]) - static_cast<double>(x[1]);
}
double bent(std::span<const float> x) {
  return 4 * (std::abs(static_cast<double>(x[0])) - 0.7) + static_cast<double>(x[1]);
}

struct Trained {
  FeatureSet set;
  FitResult fit;
  Head head;
};

Trained trained(FeatureSet set, const FitSettings& settings) {
  ThreadPool pool(1);
  FitResult fit = fit_head(set, settings, pool);
  Head head = make_head(fit, set);
  return {std::move(set), std::move(fit), std::move(head)};
}

FitSettings linear_settings() {
  FitSettings settings;
  settings.model_class = ModelClass::Linear;
  settings.tolerance = 1e-7;
  return settings;
}

/// The linear program in double precision, by Newton's method, without the row `left_out` (none: the number of rows):
/// weights, and behind them the bias of single responses.
std::vector<double> solved_without(const Trained& of, Loss loss, double penalty, std::size_t left_out) {
  const FeatureSet& set = of.set;
  const bool pairs = set.kind == FeatureKind::Pairs;
  const std::size_t p = kDimension + (pairs ? 0 : 1);
  std::vector<double> w(p);
  for (int step = 0; step < 30; ++step) {
    std::vector<double> gradient(p);
    Matrix<double> h(p, p);
    for (std::size_t j = 0; j < kDimension; ++j) {
      h(j, j) = penalty;
      gradient[j] = penalty * w[j];
    }
    for (std::size_t i = 0; i < set.rows(); ++i) {
      if (i == left_out) continue;
      std::vector<double> a(p, 1.0);
      for (std::size_t j = 0; j < kDimension; ++j) {
        const auto x = [&](const StoredRows& rows) {
          std::vector<float> f(kDimension);
          rows.read(i, 0, f);
          return static_cast<double>(f[j] - of.head.transform.mean[j]) *
                 static_cast<double>(of.head.transform.scale[j]);
        };
        a[j] = pairs ? x(set.chosen) - x(set.rejected) : x(set.features);
      }
      double z = 0;
      for (std::size_t j = 0; j < p; ++j) z += a[j] * w[j];
      const double y = pairs ? 1 : set.labels[i];
      const double miss = 1 / (1 + std::exp(y * z));
      const double slope = loss == Loss::Squared ? z - y : -y * miss;
      const double curvature = loss == Loss::Squared ? 1 : miss * (1 - miss);
      for (std::size_t j = 0; j < p; ++j) {
        gradient[j] += slope * a[j];
        for (std::size_t k = 0; k < p; ++k) h(j, k) += curvature * a[j] * a[k];
      }
    }
    Cholesky::factor(std::move(h))->solve(gradient);
    for (std::size_t j = 0; j < p; ++j) w[j] -= gradient[j];
  }
  return w;
}

/// The largest error of any row's part, over the largest part.
double largest_error(const Trained& of, Loss loss, std::span<const float> features) {
  ThreadPool pool(2);
  const std::vector<double> parts = Influence(of.head, of.set, pool).on_score(features);
  EXPECT_EQ(parts.size(), of.set.rows());
  std::vector<float> x(kDimension);
  of.head.transform.apply(features, std::span<float>(x));
  const auto score = [&](const std::vector<double>& w) {
    double sum = 0;
    for (std::size_t j = 0; j < kDimension; ++j) sum += w[j] * static_cast<double>(x[j]);
    return static_cast<double>(of.head.network.theta2[0]) * sum;
  };
  const double whole = score(solved_without(of, loss, of.fit.chosen.penalty, of.set.rows()));
  double error = 0;
  double largest = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const double truth = whole - score(solved_without(of, loss, of.fit.chosen.penalty, i));
    error = std::max(error, std::abs(parts[i] - truth));
    largest = std::max(largest, std::abs(truth));
  }
  return error / largest;
}

/// One Newton step leaves what the curvature changes on the way: by |l'''/l''| <= 1 for each unit that a row's own
/// prediction moves, and half of that in the mean. Without six numbers' worth of sixty rows it moves by 0.2 at most.
constexpr double kOneStep = 0.1;

constexpr std::array<float, kDimension> kAsked{1.2f, -0.4f, 0.3f, 2.0f, -1.0f, 0.1f};

TEST(Influence, IsExactForTheSquaredLoss) {
  FitSettings settings = linear_settings();
  settings.loss = Loss::Squared;
  const Trained one = trained(test::labelled_set(60, kDimension, line, 1), settings);
  EXPECT_LT(largest_error(one, Loss::Squared, kAsked), 1e-4);  // weights are in single precision
}

TEST(Influence, IsThatOfRefitsForPairs) {
  const Trained one = trained(test::pair_set(60, kDimension, line, 2), linear_settings());
  EXPECT_LT(largest_error(one, Loss::BradleyTerry, kAsked), kOneStep);
}

TEST(Influence, IsThatOfRefitsForLabels) {
  const Trained one = trained(test::labelled_set(80, kDimension, line, 3), linear_settings());
  EXPECT_LT(largest_error(one, Loss::Logistic, kAsked), kOneStep);
}

TEST(Influence, IsThatOfRefitsForGates) {
  FitSettings settings;
  settings.tolerance = 1e-7;
  const Trained one = trained(test::labelled_set(400, kDimension, bent, 4), settings);
  const Network& network = one.head.network;
  ASSERT_GT(network.neurons(), 1u) << "the gated program was not taken";
  ThreadPool pool(1);
  const std::vector<double> parts = Influence(one.head, one.set, pool).on_score(kAsked);

  const TrainingRows rows(one.set, one.head.transform, Loss::Logistic, 2, 0);
  const GatedMetric metric = identity_metric(kDimension);
  std::vector<double> factors;
  for (std::size_t k = 0; k < network.neurons(); ++k) {
    const bool linear = std::ranges::all_of(network.gates.row(k), [](float value) { return value == 0; });
    factors.push_back(linear ? one.fit.chosen.linear_weight : 1);
  }
  std::vector<float> x(kDimension);
  one.head.transform.apply(std::span<const float>(kAsked), std::span<float>(x));
  const auto score_without = [&](std::size_t left_out) {
    Targets targets = rows.targets();
    if (left_out < targets.weights.size()) targets.weights[left_out] = 0;
    GatedOperator<float> f(rows.design(), network.gates.view(), pool);
    GatedSolver solver(f, targets, metric, {true, 20000, factors});
    solver.start_from(network.theta1);
    solver.solve(one.fit.chosen.penalty, 1e-8);
    Network without = network;
    without.theta1 = solver.weights().w;
    std::vector<double> activations(network.neurons());
    without.activations(x, activations);
    double score = 0;
    for (std::size_t k = 0; k < activations.size(); ++k) {
      score += static_cast<double>(network.theta2[k]) * activations[k];
    }
    return score;
  };
  std::vector<std::size_t> order(parts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, std::greater(), [&](std::size_t i) { return std::abs(parts[i]); });
  const double whole = score_without(parts.size());
  for (std::size_t k = 0; k < 12; ++k) {  // the largest ones, and some of no weight
    const std::size_t i = order[k < 8 ? k : k * 20];
    EXPECT_NEAR(parts[i], whole - score_without(i), 0.1 * std::abs(parts[order[0]])) << "row " << i;
  }
}

TEST(Influence, RefusesOtherRows) {
  const Trained one = trained(test::pair_set(200, kDimension, line, 5), linear_settings());
  const FeatureSet others = test::pair_set(200, kDimension, line, 6);
  ThreadPool pool(1);
  EXPECT_EQ(error_code_of([&] { Influence(one.head, others, pool); }), ErrorCode::Mismatch);
  Head rounded = one.head;
  rounded.network.gates = {};
  EXPECT_EQ(error_code_of([&] { Influence(rounded, one.set, pool); }), ErrorCode::BadUsage);
}

}  // namespace
}  // namespace coala
