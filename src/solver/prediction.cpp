#include "solver/prediction.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace coala {
namespace {

/// Rows of a chunk: sums are of chunks first and of these in order, the same bits for any number of threads.
constexpr std::size_t kChunkRows = 2048;

/// Calls part(begin, end) for all chunks and adds up what it returns.
template <class Sum, class Part>
Sum sum_over_chunks(std::size_t rows, ThreadPool& pool, const Part& part) {
  const std::size_t chunks = (rows + kChunkRows - 1) / kChunkRows;
  std::vector<Sum> sums(chunks);
  pool.for_parts(chunks, 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) sums[k] = part(k * kChunkRows, std::min((k + 1) * kChunkRows, rows));
  });
  Sum total{};
  for (const Sum& sum : sums) total += sum;
  return total;
}

LossSums loss_sums(const Targets& targets, std::span<const float> z, double bias, float* derivatives,
                   ThreadPool& pool) {
  return sum_over_chunks<LossSums>(z.size(), pool, [&](std::size_t begin, std::size_t end) {
    return targets.function().sums(targets.rows(begin, end - begin), z.data() + begin, bias,
                                   derivatives != nullptr ? derivatives + begin : nullptr);
  });
}

}  // namespace

double optimal_bias(const Targets& targets, std::span<const float> z, double start, ThreadPool& pool) {
  if (targets.function().is_quadratic()) {
    double sum = 0;
    double weight = 0;
    for (std::size_t i = 0; i < z.size(); ++i) {
      sum += static_cast<double>(targets.weights[i]) * (static_cast<double>(targets.labels[i]) - z[i]);
      weight += static_cast<double>(targets.weights[i]);
    }
    return weight > 0 ? sum / weight : 0.0;
  }
  // All labels alike: the loss falls for ever, there is no minimiser; the start is as good as any other.
  bool positive = false;
  bool negative = false;
  for (std::size_t i = 0; i < z.size(); ++i) {
    if (targets.weights[i] > 0) (targets.labels[i] > 0 ? positive : negative) = true;
  }
  if (!positive || !negative) return start;

  constexpr int kMostSteps = 200;
  double reach = 8;  // doubled step by step, so that predictions far from zero find their bias too
  double bias = start;
  double low = -HUGE_VAL;
  double high = HUGE_VAL;
  for (int step = 0; step < kMostSteps; ++step) {
    const LossSums sums = loss_sums(targets, z, bias, nullptr, pool);
    // Newton converges quadratically: a slope of 1e-9 now is one of rounding size after the step.
    const bool last = std::abs(sums.slope) <= 1e-9 * sums.absolute_slope;
    (sums.slope > 0 ? high : low) = bias;
    // Never out of the bracket: far out the curvature vanishes and the step would explode.
    double next = sums.curvature > 0 ? bias - sums.slope / sums.curvature : (sums.slope > 0 ? -HUGE_VAL : HUGE_VAL);
    next = std::clamp(next, bias - reach, bias + reach);
    reach *= 2;
    if (!(next > low)) next = (low + bias) / 2;
    if (!(next < high)) next = (high + bias) / 2;
    if (next == bias) break;
    bias = next;
    if (last) break;
  }
  return bias;
}

double total_loss(const Targets& targets, std::span<const float> z, double bias, ThreadPool& pool) {
  return loss_sums(targets, z, bias, nullptr, pool).loss;
}

void loss_derivatives(const Targets& targets, std::span<const float> z, double bias, std::span<float> r,
                      ThreadPool& pool) {
  loss_sums(targets, z, bias, r.data(), pool);
}

double dual_value(const Targets& targets, std::span<const float> theta, double limit, ThreadPool& pool) {
  if (!targets.function().is_quadratic()) return dual_value_at(targets, theta, std::min(1.0, limit), pool);
  double squares = 0;
  double product = 0;
  for (std::size_t i = 0; i < theta.size(); ++i) {
    if (targets.weights[i] <= 0) continue;
    squares += static_cast<double>(theta[i]) * theta[i] / targets.weights[i];
    product += static_cast<double>(theta[i]) * targets.labels[i];
  }
  const double t = squares > 0 ? std::clamp(-product / squares, 0.0, limit) : 0.0;
  return -0.5 * t * t * squares - t * product;
}

double dual_value_at(const Targets& targets, std::span<const float> theta, double t, ThreadPool& pool) {
  const LossFunction& function = targets.function();
  return sum_over_chunks<double>(theta.size(), pool, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      if (targets.weights[i] <= 0) continue;
      // Rounding to float may leave the domain by half a unit in the last place.
      const Target target = targets[i];
      sum -= function.conjugate(target, function.in_domain(target, t * theta[i]));
    }
    return sum;
  });
}

}  // namespace coala
