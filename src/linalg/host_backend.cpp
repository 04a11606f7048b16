#include "linalg/host_backend.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "linalg/blas.h"
#include "linalg/gated_kernels.h"
#include "linalg/host_rows.h"

namespace coala {
namespace {

struct HostMemory : BackendMemory {
  AlignedVector<float> own;
  const float* data = nullptr;  ///< of `own`, or somebody else's numbers
};

std::span<const float> numbers(const Buffer& buffer) {
  return {static_cast<const HostMemory&>(buffer.memory()).data, buffer.size()};
}
std::span<float> numbers(Buffer& buffer) {
  return static_cast<HostMemory&>(buffer.memory()).own;
}
template <class B>
auto matrix(B& buffer, std::size_t rows, std::size_t cols) {
  assert(buffer.size() == rows * cols);
  return MatrixView(numbers(buffer).data(), rows, cols);
}

/// The group step in the metric: argmin_w 1/2 sum_j m_j (w_j - v_j)^2 + beta ||w||, with q_j = m_j v_j given. Zero when
/// ||q|| <= beta; else w_j = q_j s / (m_j s + beta), s = ||w|| the root of the decreasing
/// phi(s) = sum_j q_j^2 / (m_j s + beta)^2 = 1. Newton on 1/sqrt(phi), which is concave: from the left it never
/// overshoots.
void shrink_group(std::span<const double> q, std::span<const double> m, double beta, std::span<float> w) {
  double square = 0;
  for (const double value : q) square += value * value;
  if (!(square > beta * beta)) {
    std::ranges::fill(w, 0.0f);
    return;
  }
  double s = 0;
  if (beta > 0) {
    constexpr int kMostSteps = 60;
    for (int step = 0; step < kMostSteps; ++step) {
      double phi = 0;
      double slope = 0;  // -phi'/2
      for (std::size_t j = 0; j < q.size(); ++j) {
        const double inverse = 1 / (m[j] * s + beta);
        const double term = q[j] * inverse * (q[j] * inverse);
        phi += term;
        slope += term * inverse * m[j];
      }
      const double root = std::sqrt(phi);
      const double move = (root - 1) * phi / slope;
      s += move;
      if (!(move > 1e-9 * s)) break;
    }
  }
  for (std::size_t j = 0; j < q.size(); ++j) {
    w[j] = static_cast<float>(beta > 0 ? q[j] * s / (m[j] * s + beta) : q[j] / m[j]);
  }
}

TargetRows target_rows(const LossData& data, std::size_t first, std::size_t count) {
  return {numbers(*data.labels).data() + first, numbers(*data.weights).data() + first,
          data.margins != nullptr ? numbers(*data.margins).data() + first : nullptr, count};
}

}  // namespace

HostBackend::HostBackend(ThreadPool& pool)
    : Backend("cpu", std::string(kernel_set_name()), /*on_host=*/true), pool_(&pool) {}

Buffer HostBackend::allocate(std::size_t size) {
  auto memory = std::make_unique<HostMemory>();
  memory->own.resize(size);
  memory->data = memory->own.data();
  return {size, std::move(memory)};
}

Buffer HostBackend::constant(std::span<const float> values) {
  auto memory = std::make_unique<HostMemory>();
  memory->data = values.data();
  return {values.size(), std::move(memory)};
}

void HostBackend::upload(std::span<const float> values, Buffer& to) {
  assert(values.size() == to.size());
  std::ranges::copy(values, numbers(to).begin());
}

std::span<const float> HostBackend::read(const Buffer& from) {
  return numbers(from);
}

void HostBackend::copy(const Buffer& from, Buffer& to) {
  upload(numbers(from), to);
}

std::unique_ptr<PassRows> HostBackend::load_rows(GatedData data) {
  return std::make_unique<HostRows<float>>(std::move(data), *pool_);
}

void HostBackend::gated_pass(PassRows& rows, const GatedPass& pass) {
  auto& host = static_cast<HostRows<float>&>(rows);
  const auto weights = [&] { return matrix(*pass.w, rows.groups(), rows.dimension()); };
  ++traffic_.launches;
  traffic_.x_bytes += rows.bytes();
  if (pass.gradient == nullptr) return host.run(weights(), nullptr, numbers(*pass.z), {}, {});
  const MatrixView<float> gradient = matrix(*pass.gradient, rows.groups(), rows.dimension());
  if (pass.w == nullptr) return host.run({}, nullptr, {}, numbers(std::as_const(*pass.r)), gradient);

  struct alignas(64) Partial {
    PassSums sums;
  };
  std::vector<Partial> partials(host.chunks());
  const RowLoss& loss = *pass.loss.loss;
  const auto store = [](std::span<const float> from, Buffer* to, std::size_t first) {
    if (to != nullptr) std::ranges::copy(from, numbers(*to).begin() + static_cast<long>(first));
  };
  const auto plain = [&](std::size_t chunk, std::size_t first, std::span<float> z) {
    store(z, pass.z, first);
    const LossSums at = loss.sums(target_rows(pass.loss, first, z.size()), z.data(), pass.bias, z.data());
    store(z, pass.r, first);
    PassSums& sums = partials[chunk].sums;
    sums.loss += at.loss;
    sums.ahead_loss += at.loss;
    sums.ahead_slope += at.slope;
  };
  const double factor = sums_.step.factor;
  const auto accelerated = [&, factor](std::size_t chunk, std::size_t first, std::span<float> z) {
    const PassAhead& ahead = *pass.ahead;
    const float* const y = numbers(*ahead.y).data();
    const float* const y_r = numbers(*ahead.y_r).data();
    const float* const last = numbers(*ahead.last).data();
    float* const z_ahead = numbers(*ahead.z).data();
    const double from_y = ahead.from_y;
    PassSums sums = partials[chunk].sums;  // a copy: it stays in registers
    for (std::size_t k = 0; k < z.size(); ++k) {
      const std::size_t i = first + k;
      const double value = z[k];
      const double before = y[i];
      const double term = static_cast<double>(y_r[i]) * (value - before + from_y);
      sums.rise += term;
      sums.absolute += std::abs(term);
      sums.largest = std::max({sums.largest, std::abs(before), std::abs(value)});
      z_ahead[i] = static_cast<float>(value + factor * (value - last[i]));
    }
    store(z, pass.z, first);
    const TargetRows targets = target_rows(pass.loss, first, z.size());
    sums.loss += loss.sums(targets, z.data(), pass.bias, nullptr).loss;
    const LossSums at = loss.sums(targets, z_ahead + first, pass.bias + factor * ahead.from_last, z.data());
    store(z, pass.r, first);
    sums.ahead_loss += at.loss;
    sums.ahead_slope += at.slope;
    partials[chunk].sums = sums;
  };
  const HostRows<float>::BlockMap map =
      pass.ahead != nullptr ? HostRows<float>::BlockMap(accelerated) : HostRows<float>::BlockMap(plain);
  host.run(weights(), &map, {}, {}, gradient);

  PassSums& total = sums_.pass = {};
  for (const auto& [sums] : partials) {
    total.loss += sums.loss;
    total.rise += sums.rise;
    total.absolute += sums.absolute;
    total.largest = std::max(total.largest, sums.largest);
    total.ahead_loss += sums.ahead_loss;
    total.ahead_slope += sums.ahead_slope;
  }
}

void HostBackend::product(const Product& product) {
  ++traffic_.launches;
  const auto a = matrix(*product.a, product.m, product.k);
  const auto b =
      product.transpose_b ? matrix(*product.b, product.n, product.k) : matrix(*product.b, product.k, product.n);
  const auto c = matrix(*product.c, product.m, product.n);
  constexpr std::size_t kRows = 8;  // fixed: how a product is summed may depend on its shape
  const std::size_t grain = std::max<std::size_t>(1, 32 * 1024 / std::max<std::size_t>(1, product.n * product.k));
  pool_->for_parts((product.m + kRows - 1) / kRows, grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin * kRows; at < std::min(end * kRows, product.m); at += kRows) {
      const std::size_t last = std::min(at + kRows, product.m);
      gemm(false, product.transpose_b, product.alpha, a.row_range(at, last), b, product.beta, c.row_range(at, last));
    }
  });
}

void HostBackend::proximal_step(const ProximalStep& step) {
  ++traffic_.launches;
  const std::size_t groups = step.thresholds.size();
  const std::span<const float> metric = numbers(*step.metric);
  const std::size_t d = metric.size();
  const auto y = matrix(*step.y, groups, d);
  const auto gradient = matrix(*step.gradient, groups, d);
  const auto last = matrix(*step.last, groups, d);
  const auto next = matrix(*step.next, groups, d);
  std::vector<double> m(d);
  for (std::size_t j = 0; j < d; ++j) m[j] = step.curvature * static_cast<double>(metric[j]);
  const std::size_t grain =
      std::max<std::size_t>(1, 2048 / std::max<std::size_t>(1, d));  // a few short groups are not worth a thread
  pool_->for_parts(groups, grain, [&](int, std::size_t begin, std::size_t end) {
    std::vector<double> q(d);
    for (std::size_t p = begin; p < end; ++p) {
      for (std::size_t j = 0; j < d; ++j) {
        q[j] = m[j] * static_cast<double>(y(p, j)) - static_cast<double>(gradient(p, j));
      }
      shrink_group(q, m, step.thresholds[p], next.row(p));
    }
  });

  StepSums& sums = sums_.step;
  sums = {step.uphill, step.square, 0, 0};
  for (std::size_t p = 0; p < groups; ++p) {
    for (std::size_t j = 0; j < d; ++j) {
      const double scale = metric[j];
      const double move = static_cast<double>(next(p, j)) - y(p, j);
      sums.uphill -= scale * move * (static_cast<double>(next(p, j)) - last(p, j));
      sums.square += scale * move * move;
      sums.size += scale * static_cast<double>(y(p, j)) * y(p, j);
    }
  }
  sums.factor = sums.uphill > 0 ? 0.0 : step.momentum;
  float* const ahead = numbers(*step.ahead).data();
  for (std::size_t k = 0; k < groups * d; ++k) {
    const double value = next.data[k];
    ahead[k] = static_cast<float>(value + sums.factor * (value - last.data[k]));
  }
}

std::vector<double> HostBackend::dots(const Buffer& a, const Buffer& b, std::size_t rows) {
  ++traffic_.launches;
  std::vector<double> result(rows);
  const std::size_t length = rows > 0 ? a.size() / rows : 0;
  for (std::size_t i = 0; i < rows; ++i) {
    result[i] = dot(numbers(a).subspan(i * length, length), numbers(b).subspan(i * length, length));
  }
  return result;
}

}  // namespace coala
