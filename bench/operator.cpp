// How fast is one application of the gated operator, against BLAS products in the same row-block structure and against
// a pure read of X? Rivals alternate within one run; medians and quartiles are of the repetitions.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

#include "core/half.h"
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

/// One addition per four bytes, with as many independent sums as registers.
void read_all(std::span<const float> x, ThreadPool& pool, std::vector<float>& keep) {
  constexpr std::size_t kLanes = 128;
  pool.for_parts(x.size() / kLanes, 256, [&](int worker, std::size_t begin, std::size_t end) {
    float lanes[kLanes] = {};
    for (std::size_t at = begin * kLanes; at < end * kLanes; at += kLanes) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[at + lane];
    }
    keep[static_cast<std::size_t>(worker) * 64] += *std::max_element(lanes, lanes + kLanes);
  });
}

/// The numbers of x as F16 or BF16, two to a float.
AlignedVector<float> words_of(const Matrix<float>& x, Dtype dtype) {
  AlignedVector<float> words((x.values().size() + 1) / 2);
  auto* const to = reinterpret_cast<std::uint16_t*>(words.data());
  for (std::size_t k = 0; k < x.values().size(); ++k) {
    to[k] = dtype == Dtype::F16 ? f32_to_f16(x.values()[k]) : f32_to_bf16(x.values()[k]);
  }
  return words;
}

struct Problem {
  std::size_t n, d, groups;
  int threads;
  Dtype dtype;
};

void measure(const Problem& problem, std::vector<float>& keep) {
  constexpr int kRepetitions = 31;
  const auto [n, d, groups, threads, dtype] = problem;
  ThreadPool pool(threads);
  Random random(1);
  Matrix<float> values(n, d);
  for (float& value : values.values()) value = static_cast<float>(random.normal());
  const Matrix<float>& x = values;
  Matrix<float> drawn(groups, d);
  for (float& value : drawn.values()) value = static_cast<float>(random.normal());
  const Matrix<float>& w = drawn;
  const Matrix<float> gates = draw_gates(groups, d, 0);
  const Matrix<std::uint8_t> pattern = gate_pattern(x.view(), gates.view(), pool);
  const AlignedVector<float> words = dtype == Dtype::F32 ? AlignedVector<float>() : words_of(x, dtype);
  const StoredRows stored = dtype == Dtype::F32
                                ? StoredRows(x.view())
                                : StoredRows(dtype, n, d, reinterpret_cast<const std::byte*>(words.data()), nullptr);
  const std::span<const float> bytes = dtype == Dtype::F32 ? x.values() : std::span<const float>(words);
  GatedOperator<float> f(DesignRows<float>{{{stored, {}}}}, gates.view(), pool);
  Matrix<float> ours(groups, d);
  Matrix<float> blas(groups, d);

  Times own_times;
  Times blas_times;
  Times read_times;
  for (int k = 0; k < kRepetitions; ++k) {
    double start = monotonic_s();
    f.fused_blocks(
        w.view(), [](std::size_t, std::size_t, std::span<float>) {}, ours.view());
    own_times.seconds.push_back(monotonic_s() - start);
    start = monotonic_s();
    blas_application(x, pattern, w, blas, pool);
    blas_times.seconds.push_back(monotonic_s() - start);
    start = monotonic_s();
    read_all(bytes, pool, keep);
    read_times.seconds.push_back(monotonic_s() - start);
  }
  double difference = 0;
  double size = 0;
  for (std::size_t k = 0; k < ours.values().size(); ++k) {
    difference = std::max(difference, std::abs(static_cast<double>(ours.values()[k]) - blas.values()[k]));
    size = std::max(size, std::abs(static_cast<double>(blas.values()[k])));
  }
  const auto cell = [](Times& times) {
    return fmt::format("{:.2f} [{:.2f}, {:.2f}]", 1e3 * times.quantile(0.5), 1e3 * times.quantile(0.25),
                       1e3 * times.quantile(0.75));
  };
  fmt::print("{:>7} {:>5} {:>4} {:<4} {:>3}   {:<20} {:<22} {:<20} {:>5.0f} %   {:.0e}\n", n, d, groups,
             dtype_name(dtype), threads, cell(own_times), cell(blas_times), cell(read_times),
             100 * read_times.quantile(0.5) / own_times.quantile(0.5), difference / size);
}

}  // namespace

int main() {
  std::vector<float> keep(64 * 256);
  fmt::print("one application of F'F, milliseconds [quartiles]; kernels: {}\n", kernel_set_name());
  fmt::print("{:>7} {:>5} {:>4} {:<4} {:>3}   {:<20} {:<22} {:<20} {:>7}   {}\n", "n", "d", "P", "type", "thr", "coala",
             "OpenBLAS products", "pure read of X", "of read", "difference");
  for (const int threads : {1, ThreadPool().size()}) {
    for (const std::size_t groups : {10, 16, 64}) measure({25000, 384, groups, threads, Dtype::F32}, keep);
    for (const Dtype dtype : {Dtype::F32, Dtype::F16, Dtype::BF16}) {
      for (const std::size_t groups : {10, 16}) measure({100000, 1024, groups, threads, dtype}, keep);
    }
  }
  return keep[0] == 12345.0f ? 1 : 0;  // keeps the reads alive
}
