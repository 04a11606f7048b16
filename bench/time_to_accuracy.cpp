// How long does a fit with one fixed penalty take, from features in memory to weights, and how accurate is it on rows
// of its own? Standardising, X'X and its factor included: everything that the weights need. Usage:
// bench_time_to_accuracy TRAIN TEST RIDGE, labelled feature files and lambda / n; prints JSON, the median of some runs.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "core/resources.h"
#include "features/feature_set.h"
#include "head/transform.h"
#include "solver/linear.h"

namespace {

using namespace coala;

void run(const std::string& train_file, const std::string& test_file, double ridge) {
  constexpr int kRuns = 15;
  constexpr double kTolerance = 1e-3;  // of the gradient, as in selection
  const FeatureSet train = load_features(train_file);
  const FeatureSet test = load_features(test_file);
  Targets targets;
  targets.loss = Loss::Logistic;
  targets.labels.assign(train.labels.begin(), train.labels.end());
  targets.weights.assign(targets.labels.size(), 1.0f);
  const Matrix<float> zero_gate(1, train.dimension());
  ThreadPool pool;

  std::vector<double> seconds;
  std::shared_ptr<const FeatureTransform> transform;
  GatedWeights weights;
  for (int k = 0; k < kRuns; ++k) {
    const double start_s = monotonic_s();
    transform = std::make_shared<const FeatureTransform>(standardising_transform(train));
    const DesignRows<float> rows{{{train.features, {}}}, transform};
    GatedOperator<float> f(rows, zero_gate.view(), pool);
    const MomentSpectrum moments = row_moments(rows, targets.weights, pool);
    LinearSolver solver(f, targets, moments, /*bias=*/true);
    solver.solve(ridge * static_cast<double>(train.rows()), kTolerance);
    weights = solver.weights();
    seconds.push_back(monotonic_s() - start_s);
  }
  std::sort(seconds.begin(), seconds.end());

  const DesignRows<float> unseen{{{test.features, {}}}, transform};
  GatedOperator<float> f(unseen, zero_gate.view(), pool);
  std::vector<float> z(test.rows());
  f.forward(static_cast<const Matrix<float>&>(weights.w).view(), z);
  std::size_t right = 0;
  for (std::size_t i = 0; i < z.size(); ++i) right += (z[i] + weights.bias) * test.labels[i] > 0 ? 1 : 0;
  fmt::print("{{\"seconds\": {:.6f}, \"least\": {:.6f}, \"most\": {:.6f}, \"accuracy\": {:.6f}}}\n",
             seconds[seconds.size() / 2], seconds.front(), seconds.back(),
             static_cast<double>(right) / static_cast<double>(test.rows()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bench_time_to_accuracy TRAIN TEST RIDGE\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], std::stod(argv[3]));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
