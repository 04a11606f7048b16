#include "solver/gate_draws.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "core/error.h"
#include "core/parallel.h"
#include "core/random.h"
#include "linalg/blas.h"
#include "solver/gates.h"
#include "solver/row_spectrum.h"

namespace coala {
namespace {

/// Rows of each class in a mean: enough for the direction to lean towards the classes', few enough for no two to agree.
constexpr int kMeanRows = 30;

/// Draws in a row without a new pattern after which a source is taken to be dry.
constexpr int kMostTries = 100;

std::vector<std::size_t> rows_of_class(const GateSample& sample, float label) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < sample.labels.size(); ++i) {
    if (sample.labels[i] == label) rows.push_back(i);
  }
  if (rows.empty()) {
    throw Error(ErrorCode::BadInput, "no row of one class is in the sample that gates are drawn from",
                "draw gates from another source than class means");
  }
  return rows;
}

/// Candidates for gates, one after the other.
class Draws {
 public:
  Draws(GateSource source, const GateSample& sample, std::uint64_t seed)
      : source_(source), sample_(&sample), random_(seed) {
    if (source == GateSource::ClassMeans) {
      positive_ = rows_of_class(sample, 1.0f);
      negative_ = rows_of_class(sample, -1.0f);
    }
    if (source == GateSource::Principal) {
      ThreadPool one(1);  // the sums over rows would depend on the number of threads
      principal_ = row_spectrum(sample.x.view(), one).vectors;
    }
  }

  /// The next candidate, of any length.
  void next(std::span<double> gate) {
    std::ranges::fill(gate, 0.0);
    switch (source_) {
      case GateSource::Gaussian:
        for (double& value : gate) value = random_.normal();
        return;
      case GateSource::ClassMeans:
        for (int k = 0; k < kMeanRows; ++k) {
          add(positive_[random_.below(positive_.size())], 1.0, gate);
          add(negative_[random_.below(negative_.size())], -1.0, gate);
        }
        return;
      case GateSource::Principal:
        if (taken_ < principal_.rows()) {
          std::ranges::copy(std::as_const(principal_).row(taken_++), gate.begin());
          return;
        }
        [[fallthrough]];  // more gates than columns
      case GateSource::Pairs:
        add(random_.below(sample_->x.rows()), 1.0, gate);
        add(random_.below(sample_->x.rows()), -1.0, gate);
        return;
    }
  }

 private:
  void add(std::size_t row, double sign, std::span<double> gate) const {
    const auto x = sample_->x.row(row);
    for (std::size_t j = 0; j < gate.size(); ++j) gate[j] += sign * static_cast<double>(x[j]);
  }

  GateSource source_;
  const GateSample* sample_;
  Random random_;
  std::vector<std::size_t> positive_;
  std::vector<std::size_t> negative_;
  Matrix<double> principal_;
  std::size_t taken_ = 0;
};

/// Which rows of the sample a gate is open for, or closed for when it is open for the first: a gate and its opposite
/// have the same pattern.
std::vector<bool> pattern_of(std::span<const float> gate, const Matrix<float>& x) {
  std::vector<bool> pattern(x.rows());
  for (std::size_t i = 0; i < x.rows(); ++i) pattern[i] = gate_open(gate, x.row(i));
  if (pattern.front()) pattern.flip();
  return pattern;
}

}  // namespace

Matrix<float> draw_gates_with_linear(GateSource source, std::size_t count, const GateSample& sample,
                                     std::uint64_t seed) {
  const std::size_t d = sample.x.cols();
  if (sample.x.rows() == 0) throw Error(ErrorCode::BadInput, "there are no rows to draw gates from");
  Draws draws(source, sample, seed);
  AlignedVector<float> gates(d);  // the zero gate
  std::set<std::vector<bool>> patterns{std::vector<bool>(sample.x.rows())};
  std::vector<double> drawn(d);
  std::vector<float> gate(d);
  for (int tries = 0; patterns.size() <= count && tries < kMostTries; ++tries) {
    draws.next(drawn);
    const double size = std::sqrt(dot(std::span<const double>(drawn), drawn));
    if (!(size > 0)) continue;
    std::ranges::transform(drawn, gate.begin(), [size](double value) { return static_cast<float>(value / size); });
    if (!patterns.insert(pattern_of(gate, sample.x)).second) continue;
    gates.insert(gates.end(), gate.begin(), gate.end());
    tries = -1;
  }
  return {patterns.size(), d, std::move(gates)};
}

}  // namespace coala
