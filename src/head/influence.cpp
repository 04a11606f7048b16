#include "head/influence.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/progress.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/loss.h"
#include "solver/prediction.h"

namespace coala {
namespace {

constexpr std::size_t kBlock = 256;         ///< rows of the program in memory
constexpr std::size_t kMostWeights = 8192;  ///< two tables of as many squared are a gigabyte

/// A head's weights are those of a solution to the relative gap of a fit; other rows than its own miss by far more.
constexpr double kSlack = 0.05;

/// Folds play no part here; two are the fewest that rows can have.
constexpr int kFolds = 2;

Loss loss_of(const Head& head) {
  const auto found = std::ranges::find(kLosses, head.value("loss"), loss_name);
  if (found != kLosses.end()) return *found;
  throw Error(ErrorCode::Mismatch,
              fmt::format("the head names no loss that is known here, but '{}'", head.value("loss")));
}

/// The weights of all neurons, if there are no more than can be looked into.
std::size_t check_head(const Head& head, const FeatureSet& trained_on) {
  const std::string model_class = head.value("model_class");
  if (!head.network.gated() || (model_class != "gated" && model_class != "linear")) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("a head of the class '{}' is no solution of a program whose curvature is known",
                            head.network.gated() ? model_class : "relu"),
                "train with --model-class gated or linear, and without --as-relu");
  }
  if (trained_on.kind == FeatureKind::Pairs && loss_function(loss_of(head)).rows() == RowStructure::Responses) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the loss '{}' makes two rows of a pair, and they would have to be left out together",
                            head.value("loss")),
                "train with --loss bradley-terry, the default for pairs");
  }
  if (std::ranges::all_of(head.network.theta1.values(), [](float value) { return value == 0; })) {
    throw Error(ErrorCode::BadUsage, "the head says nothing: all its weights are zero");
  }
  const std::size_t weights = head.network.neurons() * head.dimension();
  if (weights > kMostWeights) {
    throw Error(ErrorCode::BadUsage,
                fmt::format("the head has {} x {} weights; the curvature of at most {} fits into memory",
                            head.network.neurons(), head.dimension(), kMostWeights),
                "train with --gates 0, which gives a linear head");
  }
  return weights;
}

double squared_norm(std::span<const double> a) {
  return dot(a, a);
}

/// Curvature of a neuron's penalty, read off the optimality of its weights: the gradient g of the losses is -lambda w
/// for a ridge, and -beta w / ||w|| for a norm.
struct PenaltyOfNeuron {
  double across = 0;  ///< second derivative at right angles to w
  double along = 0;   ///< in the direction of w
  double missed = 0;  ///< ||g + what it should be||^2
};

PenaltyOfNeuron penalty_of(std::span<const double> w, std::span<const double> gradient, bool ridge) {
  const double across = -dot(w, gradient) / squared_norm(w);
  PenaltyOfNeuron penalty{across, ridge ? across : 0, 0};
  for (std::size_t j = 0; j < w.size(); ++j) penalty.missed += std::pow(gradient[j] + across * w[j], 2);
  return penalty;
}

/// h += the penalty's second derivatives, for the neuron whose weights begin at `first`.
void add_penalty(const PenaltyOfNeuron& penalty, std::span<const double> w, std::size_t first, Matrix<double>& h) {
  const double radial = (penalty.along - penalty.across) / squared_norm(w);
  for (std::size_t i = 0; i < w.size(); ++i) {
    const auto row = h.row(first + i);
    for (std::size_t j = 0; j < w.size(); ++j) row[first + j] += radial * w[i] * w[j];
    row[first + i] += penalty.across;
  }
}

}  // namespace

void Influence::add_opened(std::span<const float> x, double factor, std::span<double> a) const {
  const Network& network = head_->network;
  for (std::size_t k = 0; k < network.neurons(); ++k) {
    if (dot(network.gates.row(k), x) < 0) continue;
    for (std::size_t j = 0; j < x.size(); ++j) a[k * x.size() + j] += factor * static_cast<double>(x[j]);
  }
}

Matrix<double> Influence::block(std::size_t begin, std::size_t end) const {
  Matrix<double> a(end - begin, size_);
  const std::size_t weights = head_->network.neurons() * rows_.dimension();
  pool_->for_chunks(end - begin, 8, [&](int, std::size_t first, std::size_t last) {
    std::vector<float> x(rows_.dimension());
    for (std::size_t i = first; i < last; ++i) {
      rows_.read(0, begin + i, x);
      add_opened(x, 1, a.row(i));
      if (rows_.pairwise()) {
        rows_.read(1, begin + i, x);
        add_opened(x, -1, a.row(i));
      } else {
        a(i, weights) = 1;
      }
    }
  });
  return a;
}

void Influence::for_blocks(const std::function<void(std::size_t begin, const Matrix<double>& rows)>& body) const {
  for (std::size_t begin = 0; begin < rows_.rows(); begin += kBlock) {
    throw_if_interrupted();
    body(begin, block(begin, std::min(begin + kBlock, rows_.rows())));
  }
}

Influence::Influence(const Head& head, const FeatureSet& trained_on, ThreadPool& pool)
    : head_(&head),
      pool_(&pool),
      rows_(trained_on, head.transform, loss_of(head), kFolds, 0),
      size_(check_head(head, trained_on) + (rows_.pairwise() ? 0 : 1)) {
  const std::size_t n = rows_.rows();
  const std::size_t d = rows_.dimension();
  const Targets& targets = rows_.targets();
  std::vector<double> w(size_);
  std::ranges::copy(head.network.theta1.values(), w.begin());

  // Phase II has replaced the bias of Phase I; it is the best one for these weights.
  std::vector<float> z(n);
  for_blocks([&](std::size_t begin, const Matrix<double>& a) {
    for (std::size_t i = 0; i < a.rows(); ++i) z[begin + i] = static_cast<float>(dot(a.row(i), w));
  });
  const double bias = rows_.pairwise() ? 0 : optimal_bias(targets, z, 0, pool);
  for (std::size_t i = 0; i < n; ++i) {
    const double prediction = static_cast<double>(z[i]) + bias;
    derivative_.push_back(loss_derivative(targets, i, prediction));
    curvature_.push_back(loss_curvature(targets, i, prediction));
  }

  Progress progress("curvature of the program", 3 * n, "rows");
  std::vector<double> gradient(size_);
  Matrix<double> h(size_, size_);
  for_blocks([&](std::size_t begin, const Matrix<double>& a) {
    Matrix<double> weighted = a;
    for (std::size_t i = 0; i < a.rows(); ++i) {
      for (double& value : weighted.row(i)) value *= curvature_[begin + i];
      for (std::size_t j = 0; j < size_; ++j) gradient[j] += derivative_[begin + i] * a(i, j);
    }
    const MatrixView<const double> left(a.data(), a.rows(), size_);
    pool_->for_chunks(size_, 64, [&](int, std::size_t first, std::size_t last) {
      const MatrixView<const double> stripe(a.data() + first, a.rows(), last - first, size_);
      gemm(true, false, 1.0, stripe, weighted.view(), 1.0, h.view().row_range(first, last));
    });
    progress.advance(a.rows());
  });

  const bool ridge = head.value("penalty") == "ridge";
  double missed = 0;
  for (std::size_t k = 0; k < head.network.neurons(); ++k) {
    const std::span<const double> own = std::span(w).subspan(k * d, d);
    const PenaltyOfNeuron penalty = penalty_of(own, std::span(gradient).subspan(k * d, d), ridge);
    missed += penalty.across > 0 ? penalty.missed : squared_norm(std::span(gradient).subspan(k * d, d));
    add_penalty(penalty, own, k * d, h);
  }
  const double norm = std::sqrt(squared_norm(std::span(gradient).first(head.network.neurons() * d)));
  std::optional<Cholesky> factor;
  if (std::sqrt(missed) <= kSlack * norm) factor = Cholesky::factor(std::move(h));
  if (!factor) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("the head's weights do not solve the program of the {} rows of {}: the gradient is off by "
                            "{:.1f} % of its length",
                            n, trained_on.path, 100 * std::sqrt(missed) / norm),
                "name the features that this very head was trained on; a head with length control, or one whose fit "
                "was cut short, cannot be looked into");
  }
  inverse_ = factor->inverse();
  leverage_.resize(n);
  for_blocks([&](std::size_t begin, const Matrix<double>& a) {
    pool_->for_chunks(a.rows(), 16, [&](int, std::size_t first, std::size_t last) {
      Matrix<double> solved(last - first, size_);
      gemm(false, false, 1.0, a.view().row_range(first, last), inverse_.view(), 0.0, solved.view());
      for (std::size_t i = first; i < last; ++i) leverage_[begin + i] = dot(a.row(i), solved.row(i - first));
    });
    progress.advance(2 * a.rows());
  });
}

std::vector<double> Influence::on_score(std::span<const float> features) const {
  // The score's gradient in Phase I's weights.
  std::vector<float> x(features.size());
  head_->transform.apply(features, std::span<float>(x));
  std::vector<double> gradient(size_);
  const Network& network = head_->network;
  add_opened(x, 1, gradient);
  for (std::size_t k = 0; k < network.neurons(); ++k) {
    for (std::size_t j = 0; j < x.size(); ++j) gradient[k * x.size() + j] *= static_cast<double>(network.theta2[k]);
  }
  std::vector<double> direction(size_);
  for (std::size_t i = 0; i < size_; ++i) direction[i] = dot(inverse_.row(i), gradient);

  std::vector<double> parts(rows());
  for_blocks([&](std::size_t begin, const Matrix<double>& a) {
    for (std::size_t i = 0; i < a.rows(); ++i) {
      const std::size_t row = begin + i;
      parts[row] = -derivative_[row] * dot(a.row(i), direction) / (1 - curvature_[row] * leverage_[row]);
    }
  });
  return parts;
}

}  // namespace coala
