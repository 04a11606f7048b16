// Does the work grow with the rows and nothing else? Rows of a two-layer truth at d = 1024 in F16, generated here; one
// gated program of ten gates with everything that a solve needs (pattern, leading directions, step size), twenty
// proximal gradient iterations and the gap. One size per process, so that the peak of the memory is its own.
// Usage: bench_scaling ROWS
#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "core/half.h"
#include "core/random.h"
#include "core/resources.h"
#include "solver/gated.h"
#include "solver/gates.h"
#include "solver/linear.h"
#include "solver/metric.h"

namespace {

using namespace coala;

constexpr std::size_t kDimension = 1024;
constexpr std::size_t kGates = 10;
constexpr int kIterations = 20;
constexpr std::size_t kDirections = 128;  // that the metric of so many columns knows

/// Uniform numbers of variance 1: cheap enough for a thousand million of them.
void fill_row(std::size_t i, std::span<float> x) {
  std::uint64_t state = 0x9e3779b97f4a7c15ULL * (i + 1);
  for (float& value : x) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    value = (static_cast<float>(state >> 40) * 0x1p-23f - 1.0f) * 1.7320508f;
  }
}

void run(std::size_t n) {
  ThreadPool pool;
  const auto words = std::make_shared<std::vector<std::uint16_t>>(n * kDimension);
  Targets targets;
  targets.loss = Loss::Logistic;
  targets.labels.resize(n);
  targets.weights.assign(n, 1.0f);
  const Matrix<float> neurons = draw_gates(2, kDimension, 7);
  pool.for_parts(n, 256, [&](int, std::size_t begin, std::size_t end) {
    std::vector<float> x(kDimension);
    for (std::size_t i = begin; i < end; ++i) {
      fill_row(i, x);
      double z[2] = {0, 0};
      for (std::size_t j = 0; j < kDimension; ++j) {
        (*words)[i * kDimension + j] = f32_to_f16(x[j]);
        for (std::size_t k = 0; k < 2; ++k) z[k] += static_cast<double>(neurons(k, j)) * x[j];
      }
      targets.labels[i] = std::max(z[0], 0.0) > std::max(z[1], 0.0) ? 1.0f : -1.0f;
    }
  });
  const double before = static_cast<double>(peak_rss_bytes());
  const DesignRows<float> rows{
      {{StoredRows(Dtype::F16, n, kDimension, reinterpret_cast<const std::byte*>(words->data()), words), {}}}};

  const double start_s = monotonic_s();
  const Matrix<float> gates = draw_gates(kGates, kDimension, 0);
  GatedOperator<float> f(rows, gates.view(), pool);
  const GatedMetric metric = gated_metric(sampled_moments(rows, targets.weights, kDirections, pool));
  const double set_up_s = monotonic_s() - start_s;
  GatedSolver solver(f, targets, metric, {.bias = true, .max_iterations = kIterations});
  const SolveInfo info = solver.solve(0.1 * solver.beta_max(), /*tolerance=*/0);
  const double bytes = static_cast<double>(rows.bytes());
  const double state = static_cast<double>(peak_rss_bytes()) - before;
  fmt::print(
      "{:>8} rows: set-up {:7.3f} s, {} iterations {:7.3f} s, {} passes; per million rows {:6.2f} s and {:6.2f} s; "
      "features {:7.1f} MB, beyond them {:6.1f} MB ({:.3f} of them)\n",
      n, set_up_s, info.iterations, info.seconds, info.passes_over_x, 1e6 * set_up_s / static_cast<double>(n),
      1e6 * info.seconds / static_cast<double>(n), bytes / 1e6, state / 1e6, state / bytes);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: bench_scaling ROWS\n");
    return 2;
  }
  try {
    run(std::stoul(argv[1]));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
