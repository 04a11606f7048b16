#include "head/relu_fit.h"

#include <algorithm>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "head/published_folds.h"
#include "head/relu_network.h"
#include "solver/gates.h"
#include "solver/relu.h"

namespace coala {
namespace {

/// Phase II weighs neurons that the other rows have made: it does not notice the last digits of these.
constexpr double kFoldTolerance = 1e-2;

}  // namespace

void fit_relu(const TrainingRows& rows, const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
              FitResult& result, std::vector<Network>& fold_networks) {
  const Matrix<float> gates =
      draw_gates(static_cast<std::size_t>(settings.cronos_gates), rows.dimension(), settings.seed);
  const auto solve = [&](int left_out, double tolerance, const Deadline& own) {
    const TrainingRows::Part part = rows.outside_fold(left_out);
    const Matrix<float> x = part.design.segments.front().plus.matrix();
    ReluSolver solver(x.view(), part.targets.labels, gates.view(), pool, own);
    ReluSettings relu;
    // The loss is a sum: a fold's penalty shrinks with its rows so that the trade-off stays the same.
    const double share = static_cast<double>(part.rows.size()) / static_cast<double>(rows.rows());
    relu.beta = left_out < 0 ? settings.relu_beta_ratio * solver.beta_max() : share * result.chosen.penalty;
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
  Progress progress("relu program, all rows and folds", static_cast<std::size_t>(settings.folds) + 1, "fits");
  const ReluResult all = solve(-1, settings.tolerance, deadline.share(kAllRowsShare));
  progress.advance(1);
  result.network = relu_network(all.network);
  result.phase_one = all.info;
  result.certificate = {all.certificate.objective, all.certificate.dual_objective, all.certificate.relative_gap};
  result.chosen.penalty_ratio = settings.relu_beta_ratio;
  fit_published_folds(settings.folds, deadline, progress, fold_networks, [&](int fold, const Deadline& own) {
    return relu_network(solve(fold, std::max(kFoldTolerance, settings.tolerance), own).network);
  });
}

}  // namespace coala
