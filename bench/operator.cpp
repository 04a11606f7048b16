// How fast is one application of the gated operator, against BLAS products in the same row-block structure and against
// a pure read of X? Rivals alternate within one run; medians and quartiles are of the repetitions.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "core/random.h"
#include "core/resources.h"
#include "linalg/blas.h"
#include "linalg/gated_kernels.h"
#include "solver/gated_operator.h"
#include "solver/gates.h"

namespace {

using namespace coala;

struct Times {
  std::vector<double> seconds;
  double quantile(double q) {
    std::sort(seconds.begin(), seconds.end());
    return seconds[static_cast<std::size_t>(q * static_cast<double>(seconds.size() - 1))];
  }
};

/// F'F w with BLAS: products, gate-sum, spread and adjoint on blocks of 256 rows.
void blas_application(const Matrix<float>& x, const Matrix<std::uint8_t>& pattern, const Matrix<float>& w,
                      Matrix<float>& out, ThreadPool& pool) {
  constexpr std::size_t kBlock = 256;
  const std::size_t groups = w.rows();
  std::vector<Matrix<float>> sums(static_cast<std::size_t>(pool.size()));
  pool.for_parts(x.rows(), kBlock, [&](int worker, std::size_t begin, std::size_t end) {
    Matrix<float>& sum = sums[static_cast<std::size_t>(worker)];
    sum = Matrix<float>(w.rows(), w.cols());
    Matrix<float> z(kBlock, groups);
    for (std::size_t at = begin; at < end; at += kBlock) {
      const std::size_t count = std::min(kBlock, end - at);
      const MatrixView<const float> rows = x.view().row_range(at, at + count);
      const MatrixView<float> products(z.data(), count, groups);
      gemm(false, true, 1.0f, rows, w.view(), 0.0f, products);
      for (std::size_t i = 0; i < count; ++i) {
        const auto open = pattern.row(at + i);
        float r = 0;
        for (std::size_t p = 0; p < groups; ++p) r += open[p] != 0 ? products(i, p) : 0.0f;
        for (std::size_t p = 0; p < groups; ++p) products(i, p) = open[p] != 0 ? r : 0.0f;
      }
      gemm(true, false, 1.0f, products, rows, 1.0f, sum.view());
    }
  });
  std::fill(out.values().begin(), out.values().end(), 0.0f);
  for (const Matrix<float>& sum : sums) {
    for (std::size_t k = 0; k < sum.values().size(); ++k) out.values()[k] += sum.values()[k];
  }
}

}  // namespace

int main() {
  constexpr std::size_t n = 25000;
  constexpr std::size_t d = 384;
  constexpr std::size_t groups = 16;
  constexpr int kRepetitions = 41;
  ThreadPool pool;
  Random random(1);
  Matrix<float> x(n, d);
  for (float& value : x.values()) value = static_cast<float>(random.normal());
  Matrix<float> w(groups, d);
  for (float& value : w.values()) value = static_cast<float>(random.normal());
  const Matrix<float> gates = draw_gates_with_linear(groups - 1, d, 0);
  const Matrix<float>& features = x;
  const Matrix<std::uint8_t> pattern = gate_pattern(features.view(), gates.view(), pool);
  GatedOperator<float> f(DesignRows<float>{{{features.view(), {}}}}, gates.view(), pool);
  Matrix<float> ours(groups, d);
  Matrix<float> blas(groups, d);
  const Matrix<float>& weights = w;

  Times own_times;
  Times blas_times;
  Times read_times;
  std::vector<double> sums(static_cast<std::size_t>(pool.size()) * 8);
  for (int k = 0; k < kRepetitions; ++k) {
    double start = monotonic_s();
    f.fused(
        weights.view(), [](std::size_t, float z) { return z; }, ours.view());
    own_times.seconds.push_back(monotonic_s() - start);
    start = monotonic_s();
    blas_application(x, pattern, w, blas, pool);
    blas_times.seconds.push_back(monotonic_s() - start);
    start = monotonic_s();
    pool.for_parts(n, 256, [&](int worker, std::size_t begin, std::size_t end) {
      float lanes[64] = {};
      for (std::size_t at = begin * d; at + 64 <= end * d; at += 64) {
        for (std::size_t lane = 0; lane < 64; ++lane) lanes[lane] += x.data()[at + lane];
      }
      sums[static_cast<std::size_t>(worker) * 8] += static_cast<double>(*std::max_element(lanes, lanes + 64));
    });
    read_times.seconds.push_back(monotonic_s() - start);
  }

  double difference = 0;
  double size = 0;
  for (std::size_t k = 0; k < ours.values().size(); ++k) {
    difference = std::max(difference, std::abs(static_cast<double>(ours.values()[k]) - blas.values()[k]));
    size = std::max(size, std::abs(static_cast<double>(blas.values()[k])));
  }
  const double flops = 4.0 * n * d * groups;
  fmt::print("F'F w, n = {}, d = {}, groups = {}, {} threads, kernels {}; results differ by {:.1e} relative\n", n, d,
             groups, pool.size(), kernel_set_name(), difference / size);
  const auto line = [&](const char* name, Times& times, double work, const char* unit) {
    fmt::print("{:<22} {:7.3f} ms  [{:.3f}, {:.3f}]  {:8.1f} {}\n", name, 1e3 * times.quantile(0.5),
               1e3 * times.quantile(0.25), 1e3 * times.quantile(0.75), work / times.quantile(0.5) / 1e9, unit);
  };
  line("own kernels", own_times, flops, "GFLOP/s");
  line("OpenBLAS products", blas_times, flops, "GFLOP/s");
  line("pure read of X", read_times, 4.0 * n * d, "GB/s");
  return sums[0] == 12345.0 ? 1 : 0;  // keeps the read alive
}
