#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "linalg/dense_kernels.h"
#include "lm/backbone.h"

namespace coala {

/// The matrix that turns a hidden state into the logits of the next token, logits = scale * E h, as the model's file
/// stores it: `output.weight`, or the embedding's where the two are tied. It is mapped, and decoded where it is used.
class OutputMatrix {
 public:
  /// Compares with what llama.cpp makes of a few tokens.
  /// @throws Error{BadInput} when the model's logits are not such a product (a bias, a soft cap, an adapter on the
  ///   matrix) or it is an encoder
  explicit OutputMatrix(const Backbone& backbone);
  ~OutputMatrix();
  OutputMatrix(const OutputMatrix&) = delete;
  OutputMatrix& operator=(const OutputMatrix&) = delete;

  std::size_t vocabulary() const { return vocabulary_; }
  std::size_t dimension() const { return dimension_; }
  float scale() const { return scale_; }
  bool tied() const { return tied_; }
  std::uint32_t type() const { return type_; }  ///< a ggml_type: how the numbers are stored

  /// Rows [first, first + to.size() / d) of E.
  void read(std::size_t first, std::span<float> to) const;

  /// Table B E' [r, padded_vocabulary()] for directions B [r, d]: what r products with a token's row are, for every
  /// token. Zero beyond the vocabulary.
  Matrix<float> table(const Matrix<float>& directions) const;
  std::size_t padded_vocabulary() const { return (vocabulary_ + kPanelColumns - 1) / kPanelColumns * kPanelColumns; }

  /// Logits [n, padded_vocabulary()] of states [n, d]; beyond the vocabulary they are zero. On the calling thread.
  void logits(MatrixView<const float> states, std::vector<float>& packed, MatrixView<float> to) const;

 private:
  void check(const Backbone& backbone);

  struct Mapping;
  std::unique_ptr<Mapping> mapping_;
  const std::byte* rows_ = nullptr;
  std::size_t row_bytes_ = 0;
  std::uint32_t type_ = 0;
  std::size_t vocabulary_ = 0;
  std::size_t dimension_ = 0;
  float scale_ = 1;
  bool tied_ = false;
};

/// Probabilities and expected values under the model's own next-token distribution. Keeps its memory; one thread at a
/// time.
class NextTokenMean {
 public:
  explicit NextTokenMean(const OutputMatrix& matrix) : matrix_(matrix) {}

  /// sum_c p(c | h_i) table[., c] for states h [n, d] and a table [r, padded vocabulary]; written to [n, r]. A row's
  /// numbers do not depend on the other rows.
  void evaluate(MatrixView<const float> states, const Matrix<float>& table, MatrixView<float> to);

  /// Adds the probabilities of all tokens, sum_i p(c | h_i), to [vocabulary].
  void add_probabilities(MatrixView<const float> states, std::span<double> to);

  /// Rows that are worth evaluating together: logits of 32 MB at most.
  std::size_t batch_rows() const;

 private:
  /// Leaves exp(logit - largest logit) in logits_ [n, padded vocabulary], and where there are kernels in packed_.
  /// @returns  each row's sum
  std::vector<float> exponentials(MatrixView<const float> states);
  void evaluate_batch(MatrixView<const float> states, const Matrix<float>& table, MatrixView<float> to);

  const OutputMatrix& matrix_;
  Matrix<float> logits_;
  std::vector<float> packed_;
  std::vector<float> no_bias_;  ///< 0 within the vocabulary, -infinity beyond
};

}  // namespace coala
