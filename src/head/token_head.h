#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "core/safetensors.h"
#include "features/token_basis.h"

namespace coala {

/// A head that judges the next token from what the decoder has already: with h the last hidden state and e_c the row of
/// token c in the output matrix, q(h, c) = (U'h)' W (V'e_c). Adding s q(h, .) to the logits is the same as adding
/// s E V W' U' to the output matrix E (docs/math.md, Token head).
struct TokenHead {
  Matrix<float> states;      ///< U' [r, d]
  Matrix<float> weights;     ///< W [r, r]
  Matrix<float> embeddings;  ///< V' [r, d]
  std::vector<float> bias;   ///< a [r]: the head without context a'V'e_c, what guidance has to be compared with

  std::size_t rank() const { return weights.rows(); }
  std::size_t dimension() const { return states.cols(); }
};

/// Hash of its numbers.
std::string hash_of(const TokenHead& head);

/// The tensors of a token head in a head file, "token/..", in the order of their names.
std::vector<FileTensor> tensors_of(const TokenHead& head);
/// @throws Error{CorruptFile} when some are missing or misshaped, or a number is not finite
TokenHead read_token_head(const SafetensorsFile& file);
/// Whether a tensor of that name is a token head's.
bool is_token_tensor(const std::string& name);

}  // namespace coala
