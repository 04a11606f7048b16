#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "core/safetensors.h"

namespace coala {

/// The coordinates in which a token head sees hidden states and tokens: h -> U'h and e_c -> V'e_c, with e_c the row of
/// token c in the model's output matrix (docs/math.md, Token head).
struct TokenBasis {
  Matrix<float> states;      ///< U' [r, d], orthonormal rows: principal directions of the states
  Matrix<float> embeddings;  ///< V' [r, d]: those of e_y - E e_c, the tokens of responses without what was expected
  // Tokens of the sample that the basis was fitted to, in its coordinates: what a head of some weights says of typical
  // tokens can be found out from them.
  Matrix<float> sample_states;     ///< [m, r]; U'h
  Matrix<float> sample_residuals;  ///< [m, r]; V'(e_y - E e_c)

  std::size_t rank() const { return states.rows(); }
  std::size_t dimension() const { return states.cols(); }
  /// Numbers that describe a response: [r, r] for the products of both coordinates, then [r] for the tokens alone.
  std::size_t width() const { return rank() * rank() + rank(); }
  std::string hash() const;
};

/// The mean of the sample's U'h, [r].
std::vector<double> mean_state(const TokenBasis& basis);

/// A tensor of its own beside the columns of a feature file.
struct FileTensor {
  std::string name;
  std::vector<std::size_t> shape;
  std::span<const float> values;
};

/// The basis as tensors of a file, "token_basis/..", in the order of their names.
std::vector<FileTensor> tensors_of(const TokenBasis& basis);

/// @throws Error{CorruptFile} when some of its tensors are missing or misshaped, or a number is not finite
TokenBasis read_token_basis(const SafetensorsFile& file);
bool has_token_basis(const SafetensorsFile& file);

}  // namespace coala
