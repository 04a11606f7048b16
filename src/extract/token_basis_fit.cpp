#include "extract/token_basis_fit.h"

#include <algorithm>

#include "core/error.h"
#include "core/parallel.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

/// Tokens whose coordinates are kept beside the basis.
constexpr std::size_t kKeptTokens = 2048;

/// Batches at once: each holds logits of 32 MB, twice.
constexpr int kMostThreads = 8;

/// Tokens that are evaluated together, with what is summed over them.
class Batch {
 public:
  explicit Batch(const OutputMatrix& output)
      : output_(output),
        mean_(output),
        states_(mean_.batch_rows(), output.dimension()),
        residuals_(mean_.batch_rows(), output.dimension()),
        of_states(output.dimension(), output.dimension()),
        of_residuals(output.dimension(), output.dimension()) {}

  void add(std::span<const float> state, Token next) {
    std::ranges::copy(state, states_.row(next_.size()).begin());
    next_.push_back(next);
  }
  bool full() const { return next_.size() == states_.rows(); }
  void clear() { next_.clear(); }

  MatrixView<const float> states() const { return {states_.data(), next_.size(), states_.cols()}; }
  MatrixView<const float> residuals() const { return {residuals_.data(), next_.size(), residuals_.cols()}; }

  void evaluate() {
    const MatrixView<float> residuals(residuals_.data(), next_.size(), residuals_.cols());
    mean_.evaluate_rows(states(), residuals);
    std::vector<float> row(output_.dimension());
    for (std::size_t i = 0; i < next_.size(); ++i) {
      output_.read(static_cast<std::size_t>(next_[i]), row);
      for (std::size_t j = 0; j < row.size(); ++j) residuals(i, j) = row[j] - residuals(i, j);
    }
    gemm(true, false, 1.0f, states(), states(), 0.0f, of_states.view());
    gemm(true, false, 1.0f, this->residuals(), this->residuals(), 0.0f, of_residuals.view());
  }

 private:
  const OutputMatrix& output_;
  NextTokenMean mean_;
  std::vector<Token> next_;
  Matrix<float> states_;
  Matrix<float> residuals_;

 public:
  Matrix<float> of_states;     ///< [d, d]; sums
  Matrix<float> of_residuals;  ///< [d, d]
};

/// Second moments of states and of residuals. The same whatever the number of threads: a batch is one thread's, and
/// batches are added in their order.
class Moments : public TokenConsumer {
 public:
  Moments(const OutputMatrix& output, std::span<const EncodedResponse* const> responses, int threads)
      : responses_(responses),
        pool_(std::min(threads > 0 ? threads : usable_cores(), kMostThreads)),
        of_states(output.dimension(), output.dimension()),
        of_residuals(output.dimension(), output.dimension()) {
    std::size_t tokens = 0;
    for (const EncodedResponse* response : responses) tokens += response->tokens.size() - response->prompt_tokens;
    stride_ = std::max<std::size_t>(1, tokens / kKeptTokens);
    for (int i = 0; i < pool_.size(); ++i) batches_.emplace_back(output);
  }

  void take(const EvaluatedToken& token) override {
    const EncodedResponse& response = *responses_[token.response];
    const std::size_t next = token.position + 1;
    if (next < response.prompt_tokens || next >= response.tokens.size() - response.closing_tokens) return;
    batches_[current_].add(token.state, response.tokens[next]);
    if (batches_[current_].full() && ++current_ == batches_.size()) flush();
  }

  void flush() {
    pool_.for_parts(batches_.size(), 1, [&](int, std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        if (batches_[i].states().rows > 0) batches_[i].evaluate();
      }
    });
    for (Batch& batch : batches_) {
      const std::size_t n = batch.states().rows;
      if (n == 0) continue;
      for (std::size_t i = 0; i < n; ++i) {
        if ((count + i) % stride_ != 0) continue;
        append(batch.states().row(i), kept_states);
        append(batch.residuals().row(i), kept_residuals);
      }
      add(batch.of_states, of_states);
      add(batch.of_residuals, of_residuals);
      count += n;
      batch.clear();
    }
    current_ = 0;
  }

 private:
  static void append(std::span<const float> row, std::vector<float>& to) {
    to.insert(to.end(), row.begin(), row.end());
  }
  static void add(const Matrix<float>& gram, Matrix<double>& to) {
    for (std::size_t k = 0; k < gram.values().size(); ++k) to.values()[k] += static_cast<double>(gram.values()[k]);
  }

  std::span<const EncodedResponse* const> responses_;
  ThreadPool pool_;
  std::vector<Batch> batches_;  ///< by thread
  std::size_t current_ = 0;     ///< the batch that is filled
  std::size_t stride_ = 1;      ///< every so manieth token is kept

 public:
  Matrix<double> of_states;     ///< [d, d]; sums
  Matrix<double> of_residuals;  ///< [d, d]
  std::size_t count = 0;
  std::vector<float> kept_states;  ///< [m, d]
  std::vector<float> kept_residuals;
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

TokenBasis fit_token_basis(FeatureExtractor& extractor, const OutputMatrix& output,
                           std::span<const EncodedResponse> sample, std::size_t rank, int threads) {
  std::vector<const EncodedResponse*> responses;
  for (const EncodedResponse& response : sample) responses.push_back(&response);
  Moments moments(output, responses, threads);
  TokenConsumer* const consumer = &moments;
  extractor.stream(responses, {&consumer, 1});
  moments.flush();
  if (moments.count == 0)
    throw Error(ErrorCode::BadInput, "no response has a token that a token head could be fitted to");
  for (Matrix<double>* sums : {&moments.of_states, &moments.of_residuals}) {
    for (double& value : sums->values()) value /= static_cast<double>(moments.count);
  }
  TokenBasis basis;
  basis.states = leading(std::move(moments.of_states), std::min(rank, output.dimension()));
  basis.embeddings = leading(std::move(moments.of_residuals), std::min(rank, output.dimension()));
  basis.sample_states = coordinates(moments.kept_states, basis.states);
  basis.sample_residuals = coordinates(moments.kept_residuals, basis.embeddings);
  return basis;
}

}  // namespace coala
