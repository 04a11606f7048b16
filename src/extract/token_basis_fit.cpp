#include "extract/token_basis_fit.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/parallel.h"
#include "core/progress.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

/// Tokens whose coordinates are kept beside the basis.
constexpr std::size_t kKeptTokens = 2048;

/// Tokens that are evaluated together. Sums are single precision within and double between them.
constexpr std::size_t kBatchRows = 256;
/// Batches at once: each holds two matrices [d, d].
constexpr int kMostThreads = 8;

/// Whether item i of n is one of `wanted` that stand evenly among them.
bool stands_evenly(std::size_t i, std::size_t n, std::size_t wanted) {
  return (i + 1) * wanted / n > i * wanted / n;
}

/// The tokens with the most weight, half of which is their share of the texts and half their mean probability, in the
/// order of their numbers.
std::vector<std::size_t> choose_support(const OutputMatrix& output, const BasisTokens& tokens,
                                        const ExpectationEffort& effort) {
  const std::size_t whole = std::min(effort.whole, tokens.count);
  std::vector<double> frequency(output.vocabulary());
  Matrix<float> states(whole, output.dimension());
  std::size_t seen = 0;
  std::size_t taken = 0;
  tokens.visit([&](std::span<const float> state, Token next) {
    frequency[static_cast<std::size_t>(next)] += 1;
    if (stands_evenly(seen++, tokens.count, whole)) std::ranges::copy(state, states.row(taken++).begin());
  });
  NextTokenMean mean(output);
  std::vector<double> probability(output.vocabulary());
  for (std::size_t begin = 0; begin < whole; begin += mean.batch_rows()) {
    throw_if_interrupted();
    mean.add_probabilities(states.view().row_range(begin, std::min(begin + mean.batch_rows(), whole)), probability);
  }
  const auto weight = [&](std::size_t c) {
    return frequency[c] / static_cast<double>(tokens.count) + probability[c] / static_cast<double>(whole);
  };
  std::vector<std::size_t> order(output.vocabulary());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t count = std::min(effort.support, order.size());
  std::ranges::nth_element(order, order.begin() + static_cast<std::ptrdiff_t>(count) - 1,
                           [&](std::size_t a, std::size_t b) {
                             const double of_a = weight(a), of_b = weight(b);
                             return of_a != of_b ? of_a > of_b : a < b;
                           });
  order.resize(count);
  std::ranges::sort(order);
  return order;
}

/// Rows of the output matrix, and the softmax over them.
class Support {
 public:
  Support(const OutputMatrix& output, const std::vector<std::size_t>& tokens)
      : scale_(output.scale()), rows_(tokens.size(), output.dimension()) {
    for (std::size_t k = 0; k < tokens.size(); ++k) output.read(tokens[k], rows_.row(k));
  }

  /// The expected row for each of the states [n, d], written to [n, d].
  void expect(MatrixView<const float> states, Matrix<float>& logits, MatrixView<float> to) const {
    if (logits.rows() < states.rows) logits = Matrix<float>(states.rows, rows_.rows());
    const MatrixView<float> weights(logits.data(), states.rows, rows_.rows());
    gemm(false, true, scale_, states, rows_.view(), 0.0f, weights);
    for (std::size_t i = 0; i < weights.rows; ++i) {
      const std::span<float> row = weights.row(i);
      const float most = *std::ranges::max_element(row);
      double sum = 0;
      for (float& weight : row) sum += static_cast<double>(weight = std::exp(weight - most));
      for (float& weight : row) weight = static_cast<float>(static_cast<double>(weight) / sum);
    }
    gemm(false, false, 1.0f, MatrixView<const float>(weights), rows_.view(), 0.0f, to);
  }

 private:
  float scale_;
  Matrix<float> rows_;  ///< [support, d]
};

/// Tokens that are evaluated together, with what is summed over them.
class Batch {
 public:
  Batch(const OutputMatrix& output, const Support& support)
      : output_(output),
        support_(support),
        states_(kBatchRows, output.dimension()),
        residuals_(kBatchRows, output.dimension()),
        of_states(output.dimension(), output.dimension()),
        of_residuals(output.dimension(), output.dimension()) {}

  void add(std::span<const float> state, Token next) {
    std::ranges::copy(state, states_.row(next_.size()).begin());
    next_.push_back(next);
  }
  std::size_t count() const { return next_.size(); }
  void clear() { next_.clear(); }
  MatrixView<const float> states() const { return {states_.data(), next_.size(), states_.cols()}; }
  MatrixView<const float> residuals() const { return {residuals_.data(), next_.size(), residuals_.cols()}; }

  void evaluate() {
    support_.expect(states(), logits_, MatrixView<float>(residuals_.data(), next_.size(), residuals_.cols()));
    std::vector<float> row(output_.dimension());
    for (std::size_t i = 0; i < next_.size(); ++i) {
      output_.read(static_cast<std::size_t>(next_[i]), row);
      for (std::size_t j = 0; j < row.size(); ++j) residuals_(i, j) = row[j] - residuals_(i, j);
    }
    gemm(true, false, 1.0f, states(), states(), 0.0f, of_states.view());
    gemm(true, false, 1.0f, residuals(), residuals(), 0.0f, of_residuals.view());
  }

 private:
  const OutputMatrix& output_;
  const Support& support_;
  std::vector<Token> next_;
  Matrix<float> states_;
  Matrix<float> residuals_;
  Matrix<float> logits_;

 public:
  Matrix<float> of_states;     ///< [d, d]; sums
  Matrix<float> of_residuals;  ///< [d, d]
};

/// Second moments of states and of residuals. The same whatever the number of threads: a batch is one thread's, and
/// batches are added in their order.
class Moments {
 public:
  struct Sums {
    Matrix<double> of_states;        ///< [d, d]
    Matrix<double> of_residuals;     ///< [d, d]
    std::vector<float> kept_states;  ///< [m, d]; of tokens that stand evenly among all
    std::vector<float> kept_residuals;
  };

  Moments(const OutputMatrix& output, const Support& support, std::size_t tokens, int threads)
      : tokens_(tokens),
        pool_(std::min(threads > 0 ? threads : usable_cores(), kMostThreads)),
        progress_("fitting the token head's basis", tokens, "tokens") {
    sums_.of_states = Matrix<double>(output.dimension(), output.dimension());
    sums_.of_residuals = sums_.of_states;
    for (int i = 0; i < pool_.size(); ++i) batches_.emplace_back(output, support);
  }

  void add(std::span<const float> state, Token next) {
    batches_[current_].add(state, next);
    if (batches_[current_].count() == kBatchRows && ++current_ == batches_.size()) flush();
  }

  Sums finish() {
    flush();
    return std::move(sums_);
  }

 private:
  void flush() {
    throw_if_interrupted();
    pool_.for_parts(batches_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        if (batches_[i].count() > 0) batches_[i].evaluate();
      }
    });
    for (Batch& batch : batches_) {
      if (batch.count() == 0) continue;
      for (std::size_t i = 0; i < batch.count(); ++i) {
        if (!stands_evenly(added_++, tokens_, std::min(kKeptTokens, tokens_))) continue;
        append(batch.states().row(i), sums_.kept_states);
        append(batch.residuals().row(i), sums_.kept_residuals);
      }
      add_to(batch.of_states, sums_.of_states);
      add_to(batch.of_residuals, sums_.of_residuals);
      progress_.advance(batch.count());
      batch.clear();
    }
    current_ = 0;
  }

  static void append(std::span<const float> row, std::vector<float>& to) {
    to.insert(to.end(), row.begin(), row.end());
  }
  static void add_to(const Matrix<float>& gram, Matrix<double>& to) {
    for (std::size_t k = 0; k < gram.values().size(); ++k) to.values()[k] += static_cast<double>(gram.values()[k]);
  }

  std::size_t tokens_;
  ThreadPool pool_;
  Progress progress_;
  std::deque<Batch> batches_;  ///< by thread
  std::size_t current_ = 0;    ///< the batch that is filled
  std::size_t added_ = 0;      ///< tokens in the sums
  Sums sums_;
};

/// The leading eigenvectors [rank, d], their largest component positive so that they are the same everywhere.
Matrix<float> leading(Matrix<double> moments, std::size_t rank) {
  const std::size_t d = moments.rows();
  const SymmetricEigen eigen = symmetric_eigen(std::move(moments));
  Matrix<float> directions(rank, d);
  for (std::size_t k = 0; k < rank; ++k) {
    const std::span<const double> vector = eigen.vectors.row(d - 1 - k);
    const double largest = *std::ranges::max_element(vector, {}, [](double value) { return std::abs(value); });
    const double sign = largest < 0 ? -1 : 1;
    for (std::size_t j = 0; j < d; ++j) directions(k, j) = static_cast<float>(sign * vector[j]);
  }
  return directions;
}

/// Coordinates [m, rank] of vectors [m, d].
Matrix<float> coordinates(const std::vector<float>& vectors, const Matrix<float>& directions) {
  const std::size_t count = vectors.size() / directions.cols();
  Matrix<float> result(count, directions.rows());
  gemm(false, true, 1.0f, MatrixView<const float>(vectors.data(), count, directions.cols()), directions.view(), 0.0f,
       result.view());
  return result;
}

}  // namespace

TokenBasis fit_token_basis(const OutputMatrix& output, const BasisTokens& tokens, const ExpectationEffort& effort,
                           std::size_t rank, int threads) {
  if (tokens.count == 0)
    throw Error(ErrorCode::BadInput, "no response has a token that a token head could be fitted to");
  std::vector<std::size_t> chosen;
  {
    const Progress progress("tokens that the model expects");
    chosen = choose_support(output, tokens, effort);
  }
  const Support support(output, chosen);
  const std::size_t count = std::min(effort.tokens, tokens.count);
  std::optional<Moments> moments(std::in_place, output, support, count, threads);
  std::size_t seen = 0;
  tokens.visit([&](std::span<const float> state, Token next) {
    if (stands_evenly(seen++, tokens.count, count)) moments->add(state, next);
  });
  Moments::Sums sums = moments->finish();
  moments.reset();
  const Progress progress("directions of the token head's basis");
  for (Matrix<double>* moment : {&sums.of_states, &sums.of_residuals}) {
    for (double& value : moment->values()) value /= static_cast<double>(count);
  }
  TokenBasis basis;
  basis.states = leading(std::move(sums.of_states), std::min(rank, output.dimension()));
  basis.embeddings = leading(std::move(sums.of_residuals), std::min(rank, output.dimension()));
  basis.sample_states = coordinates(sums.kept_states, basis.states);
  basis.sample_residuals = coordinates(sums.kept_residuals, basis.embeddings);
  return basis;
}

}  // namespace coala
