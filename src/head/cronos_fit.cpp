#include "head/cronos_fit.h"

#include <algorithm>
#include <cmath>

#include "core/interrupt.h"
#include "core/progress.h"
#include "core/resources.h"
#include "head/published_folds.h"
#include "head/relu_network.h"
#include "solver/gates.h"

namespace coala {
namespace {

struct CronosRun {
  Network network;
  SolveInfo info;
  double objective = 0;
};

/// Runs the program on the pointwise rows outside `left_out` (-1: on all).
CronosRun run_cronos(const TrainingRows& rows, int left_out, const Matrix<float>& gates, const FitSettings& settings,
                     const Deadline& deadline, ThreadPool& pool) {
  const TrainingRows::Part part = rows.outside_fold(left_out);
  const std::vector<float>& y = part.targets.labels;
  const double start_s = monotonic_s();
  const Matrix<std::uint8_t> pattern = gate_pattern(part.design, part.design.segments.front().plus, gates.view(), pool);
  GatedOperator<float> f(part.design, pattern, pool);
  CronosSettings cronos_settings = settings.cronos;
  cronos_settings.seed = settings.seed;
  Cronos<float> cronos(f, pattern, std::span<const float>(y), cronos_settings, pool, deadline);
  CronosRun run;
  run.info = cronos.run();

  const Signed<float>& u = cronos.state().u;
  run.network = relu_network(relu_weights(u));
  run.info.seconds = monotonic_s() - start_s;  // from rows in memory to the network: pattern and X'X too

  // The program's objective at u: early iterates are outside the cones, so this is no certificate.
  Matrix<float> difference(gates.rows(), rows.dimension());
  double penalty = 0;
  for (std::size_t p = 0; p < gates.rows(); ++p) {
    double squares[2] = {0, 0};
    for (std::size_t j = 0; j < rows.dimension(); ++j) {
      difference(p, j) = u[0](p, j) - u[1](p, j);
      squares[0] += static_cast<double>(u[0](p, j)) * u[0](p, j);
      squares[1] += static_cast<double>(u[1](p, j)) * u[1](p, j);
    }
    penalty += std::sqrt(squares[0]) + std::sqrt(squares[1]);
  }
  std::vector<float> z(y.size());
  f.forward(difference.view(), z);
  for (std::size_t k = 0; k < z.size(); ++k) {
    const double error = static_cast<double>(z[k]) - y[k];
    run.objective += 0.5 * error * error;
  }
  run.objective += cronos_settings.beta * penalty;
  return run;
}

}  // namespace

void fit_cronos(const TrainingRows& rows, const FitSettings& settings, const Deadline& deadline, ThreadPool& pool,
                FitResult& result, std::vector<Network>& fold_networks) {
  const Matrix<float> gates =
      draw_gates(static_cast<std::size_t>(settings.cronos_gates), rows.dimension(), settings.seed);
  Progress progress("cronos program, all rows and folds", static_cast<std::size_t>(settings.folds) + 1, "fits");
  CronosRun run = run_cronos(rows, -1, gates, settings, deadline.share(kAllRowsShare), pool);
  throw_if_interrupted();
  progress.advance(1);
  result.network = std::move(run.network);
  result.phase_one = run.info;
  result.phase_one.objective = run.objective;
  result.phase_one.dual_objective = std::nan("");
  result.chosen.penalty = settings.cronos.beta;
  fit_published_folds(settings.folds, deadline, progress, fold_networks, [&](int fold, const Deadline& own) {
    Network network = run_cronos(rows, fold, gates, settings, own, pool).network;
    throw_if_interrupted();
    return network;
  });
}

}  // namespace coala
