#include "solver/prediction.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "linalg/logistic_kernel.h"

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

struct Sums : LogisticSums {
  Sums& operator+=(const Sums& other) {
    loss += other.loss;
    slope += other.slope;
    absolute_slope += other.absolute_slope;
    curvature += other.curvature;
    return *this;
  }
};

LogisticSums logistic_sums(const Targets& targets, std::span<const float> z, double bias, float* derivatives,
                           ThreadPool& pool) {
  return sum_over_chunks<Sums>(z.size(), pool, [&](std::size_t begin, std::size_t end) {
    return Sums{logistic_kernel()(z.data() + begin, targets.labels.data() + begin, targets.weights.data() + begin,
                                  targets.margins.empty() ? nullptr : targets.margins.data() + begin, end - begin, bias,
                                  derivatives != nullptr ? derivatives + begin : nullptr)};
  });
}

}  // namespace

double optimal_bias(const Targets& targets, std::span<const float> z, double start, ThreadPool& pool) {
  if (targets.loss == Loss::Squared) {
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
    const LogisticSums sums = logistic_sums(targets, z, bias, nullptr, pool);
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
  if (targets.loss != Loss::Squared) return logistic_sums(targets, z, bias, nullptr, pool).loss;
  double sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) sum += loss_value(targets, i, static_cast<double>(z[i]) + bias);
  return sum;
}

void loss_derivatives(const Targets& targets, std::span<const float> z, double bias, std::span<float> r,
                      ThreadPool& pool) {
  if (targets.loss != Loss::Squared) {
    logistic_sums(targets, z, bias, r.data(), pool);
    return;
  }
  for (std::size_t i = 0; i < z.size(); ++i) {
    r[i] = static_cast<float>(loss_derivative(targets, i, static_cast<double>(z[i]) + bias));
  }
}

double dual_value(const Targets& targets, std::span<const float> theta, double limit, ThreadPool& pool) {
  if (targets.loss != Loss::Squared) return dual_value_at(targets, theta, std::min(1.0, limit), pool);
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
  return sum_over_chunks<double>(theta.size(), pool, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      if (targets.weights[i] <= 0) continue;
      double s = t * theta[i];
      if (targets.loss != Loss::Squared) {
        // Rounding to float may leave the domain by half a unit in the last place: pull it back.
        const double label = targets.labels[i];
        s = -label * std::clamp(-label * s, 0.0, static_cast<double>(targets.weights[i]));
      }
      sum -= loss_conjugate(targets, i, s);
    }
    return sum;
  });
}

}  // namespace coala
