#include "extract/token_basis_fit.h"

#include <algorithm>

#include "core/error.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

/// Tokens whose coordinates are kept beside the basis.
constexpr std::size_t kKeptTokens = 2048;

/// Second moments of states and of residuals; what is evaluated together is added in one product.
class Moments : public TokenConsumer {
 public:
  Moments(const OutputMatrix& output, std::span<const EncodedResponse* const> responses)
      : output_(output),
        mean_(output),
        responses_(responses),
        states_(mean_.batch_rows(), output.dimension()),
        residuals_(mean_.batch_rows(), output.dimension()),
        of_states(output.dimension(), output.dimension()),
        of_residuals(output.dimension(), output.dimension()) {
    std::size_t tokens = 0;
    for (const EncodedResponse* response : responses) tokens += response->tokens.size() - response->prompt_tokens;
    stride_ = std::max<std::size_t>(1, tokens / kKeptTokens);
  }

  void take(const EvaluatedToken& token) override {
    const EncodedResponse& response = *responses_[token.response];
    const std::size_t next = token.position + 1;
    if (next < response.prompt_tokens || next >= response.tokens.size() - response.closing_tokens) return;
    std::ranges::copy(token.state, states_.row(next_.size()).begin());
    next_.push_back(response.tokens[next]);
    if (next_.size() == states_.rows()) flush();
  }

  void flush() {
    const std::size_t n = next_.size();
    if (n == 0) return;
    const MatrixView<const float> states(states_.data(), n, states_.cols());
    const MatrixView<float> residuals(residuals_.data(), n, residuals_.cols());
    mean_.evaluate_rows(states, residuals);
    std::vector<float> row(output_.dimension());
    for (std::size_t i = 0; i < n; ++i) {
      output_.read(static_cast<std::size_t>(next_[i]), row);
      for (std::size_t j = 0; j < row.size(); ++j) residuals(i, j) = row[j] - residuals(i, j);
      if ((count + i) % stride_ != 0) continue;
      kept_states.insert(kept_states.end(), states.row(i).begin(), states.row(i).end());
      kept_residuals.insert(kept_residuals.end(), residuals.row(i).begin(), residuals.row(i).end());
    }
    add(states, of_states);
    add(residuals, of_residuals);
    count += n;
    next_.clear();
  }

 private:
  static void add(MatrixView<const float> rows, Matrix<double>& to) {
    Matrix<float> gram(rows.cols, rows.cols);
    gemm(true, false, 1.0f, rows, rows, 0.0f, gram.view());
    for (std::size_t k = 0; k < gram.values().size(); ++k) to.values()[k] += static_cast<double>(gram.values()[k]);
  }

  const OutputMatrix& output_;
  NextTokenMean mean_;
  std::span<const EncodedResponse* const> responses_;
  std::vector<Token> next_;
  Matrix<float> states_;
  Matrix<float> residuals_;
  std::size_t stride_ = 1;  ///< every so manieth token is kept

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
                           std::span<const EncodedResponse> sample, std::size_t rank) {
  std::vector<const EncodedResponse*> responses;
  for (const EncodedResponse& response : sample) responses.push_back(&response);
  Moments moments(output, responses);
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
