#pragma once

#include <filesystem>
#include <memory>

#include "extract/extract_file.h"

namespace coala {

/// What an extraction with a token head needs before the first record.
struct TokenSetup {
  std::shared_ptr<const TokenProjection> projection;  ///< output matrix and basis
  std::shared_ptr<const KeptStates> states;           ///< what was evaluated for the basis; null: nothing
};

/// The basis is taken from `options` where one is given, from an output that was made of the same, or from an
/// unfinished run ("<out>.token-basis"); else it is fitted to a sample of the data and kept there until the output is
/// finished. The sample is made of whole blocks of the extraction, whose states are kept ("<out>.token-states") and not
/// evaluated again; docs/extraction.md says how large it is.
/// @throws Error{BadInput} when the model's logits are no product of a matrix with the state, or no response has a
/// token
TokenSetup set_up_tokens(const Backbone& backbone, const RecordStore& data, const std::filesystem::path& out,
                         const ExtractOptions& options);

/// Where the basis of an unfinished output is.
std::filesystem::path token_basis_path(const std::filesystem::path& out);

/// How the names of files of kept states go on after that of the output.
inline constexpr const char* kTokenStates = ".token-states";
/// Where the states that a process keeps are.
std::filesystem::path token_states_path(const std::filesystem::path& out, const Shard& shard);

}  // namespace coala
