// How long does the gated solver take to a given gap? One program at one penalty, no bias, solved to a ladder of
// tolerances, each from zero weights with everything that a solve needs (pattern, metric, step size). The program is
// written to a file, so that other solvers can be given the same one: pattern [n, P], beta, and the last weights [P,
// d]. Usage: bench_gated FEATURES LOSS BETA_OVER_BETA_MAX PROGRAM
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "core/resources.h"
#include "core/safetensors.h"
#include "solver/certificate.h"
#include "solver/gated.h"
#include "solver/gates.h"
#include "solver/linear.h"
#include "solver/metric.h"

namespace {

using namespace coala;

constexpr std::size_t kGates = 10;

void write_program(const std::string& path, const Matrix<std::uint8_t>& pattern, double beta, const Matrix<float>& w) {
  SafetensorsWriter file(path);
  file.declare("pattern", Dtype::U8, {pattern.rows(), pattern.cols()});
  file.declare("beta", Dtype::F64, {1});
  file.declare("weights", Dtype::F32, {w.rows(), w.cols()});
  file.append(std::span<const std::uint8_t>(pattern.values()));
  file.append(std::span<const double>(&beta, 1));
  file.append(std::span<const float>(w.values()));
  file.commit();
}

void run(const std::string& features, const std::string& loss, double ratio, const std::string& program) {
  const SafetensorsFile file(features);
  const std::vector<std::size_t>& shape = file.tensor("features").shape;
  Matrix<float> values(shape.at(0), shape.at(1));
  file.read_f32("features", values.values());
  const Matrix<float>& x = values;
  Targets targets;
  targets.loss = loss == "squared" ? Loss::Squared : Loss::Logistic;
  for (const std::int64_t label : file.read_i64("labels")) targets.labels.push_back(static_cast<float>(label));
  targets.weights.assign(targets.labels.size(), 1.0f);

  ThreadPool pool;
  const DesignRows<float> rows{{{x.view(), {}}}};
  const Matrix<float> gates = draw_gates(kGates, x.cols(), 0);
  double beta = 0;
  Matrix<float> weights;
  for (const double tolerance : {1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7}) {
    const double start_s = monotonic_s();
    GatedOperator<float> f(rows, gates.view(), pool);
    const GatedMetric metric =
        gated_metric(gated_moments(rows, targets.weights, row_moments(rows, targets.weights, pool), pool));
    GatedSolver solver(f, targets, metric, {.bias = false});
    beta = ratio * solver.beta_max();
    const SolveInfo info = solver.solve(beta, tolerance);
    const double seconds = monotonic_s() - start_s;
    weights = solver.weights().w;
    const Certificate checked =
        certify_gated(rows, targets, gates.view(), weights.view(), 0.0, /*free_bias=*/false, beta);
    fmt::print("{{\"tolerance\": {}, \"seconds\": {:.6f}, \"iterations\": {}, \"objective\": {}, \"gap\": {}}}\n",
               tolerance, seconds, info.iterations, checked.objective, checked.relative_gap);
    std::fflush(stdout);
    if (info.status != SolveStatus::Solved) break;  // single precision has given what it can
  }
  write_program(program, gate_pattern<float>(x.view(), gates.view(), pool), beta, weights);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fmt::print(stderr, "usage: bench_gated FEATURES LOSS BETA_OVER_BETA_MAX PROGRAM\n");
    return 2;
  }
  try {
    run(argv[1], argv[2], std::stod(argv[3]), argv[4]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
