#pragma once

#include <filesystem>
#include <memory>

#include "extract/extract_file.h"

namespace coala {

/// What an extraction with a token head needs before the first record: the output matrix, and a basis. The basis is
/// taken from `options` where one is given, from an output that was made of the same, or from an unfinished run
/// ("<out>.token-basis"); else it is fitted to a sample of the data and kept there until the output is finished.
/// @throws Error{BadInput} when the model's logits are no product of a matrix with the state
std::shared_ptr<const TokenProjection> set_up_tokens(const Backbone& backbone, const DataFile& data,
                                                     const std::filesystem::path& out, const ExtractOptions& options);

/// Where the basis of an unfinished output is.
std::filesystem::path token_basis_path(const std::filesystem::path& out);

}  // namespace coala
