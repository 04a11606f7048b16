#include "head/relu_fit.h"

#include <algorithm>

#include "core/error.h"
#include "core/interrupt.h"
#include "solver/gates.h"
#include "solver/relu.h"

namespace coala {
namespace {

/// Phase II weighs neurons that the other rows have made: it does not notice the last digits of these.
constexpr double kFoldTolerance = 1e-2;

Network network_of(const ReluWeights<double>& weights, std::size_t dimension) {
  Network network;
  network.theta1 = Matrix<float>(weights.theta2.size(), dimension);
  for (std::size_t j = 0; j < weights.theta2.size(); ++j) {
    for (std::size_t i = 0; i < dimension; ++i) network.theta1(j, i) = static_cast<float>(weights.theta1(i, j));
  }
  network.theta2.assign(weights.theta2.begin(), weights.theta2.end());
  return network;
}

}  // namespace

void fit_relu(const TrainingRows& rows, const FitSettings& settings, ThreadPool& pool, FitResult& result,
              std::vector<Network>& fold_networks) {
  const Matrix<float> gates =
      draw_gates(static_cast<std::size_t>(settings.cronos_gates), rows.plus().cols(), settings.seed);
  const auto solve = [&](int left_out, double tolerance) {
    const TrainingRows::Dense dense = rows.dense_without(left_out);
    ReluSolver solver(dense.x.view(), dense.y, gates.view(), pool);
    ReluSettings relu;
    relu.beta = settings.relu_beta_ratio * solver.beta_max();
    if (!(relu.beta > 0)) {
      throw Error(ErrorCode::BadInput, "the features are zero in single precision: there is nothing to learn from",
                  "scale them up, or check where they come from");
    }
    relu.tolerance = tolerance;
    ReluResult solved = solver.solve(relu);
    result.chosen.penalty = left_out < 0 ? relu.beta : result.chosen.penalty;
    throw_if_interrupted();
    return solved;
  };
  const ReluResult all = solve(-1, settings.tolerance);
  result.network = network_of(all.network, rows.plus().cols());
  result.phase_one = all.info;
  result.certificate = {all.certificate.objective, all.certificate.dual_objective, all.certificate.relative_gap};
  result.chosen.penalty_ratio = settings.relu_beta_ratio;
  for (std::size_t fold = 0; fold < fold_networks.size(); ++fold) {
    const ReluResult one = solve(static_cast<int>(fold), std::max(kFoldTolerance, settings.tolerance));
    fold_networks[fold] = network_of(one.network, rows.plus().cols());
  }
}

}  // namespace coala
