#pragma once

#include <cstdint>
#include <vector>

#include "extract/extract_file.h"
#include "extract/token_basis_fit.h"
#include "extract/window.h"

namespace coala {

/// The sample that a basis is fitted to: some of the first window's responses.
struct TokenSample {
  Window window;
  /// Whole blocks of the window, whose states serve the extraction too; none where the blocks are too long to be kept.
  std::vector<std::uint32_t> blocks;
  std::vector<std::uint32_t> responses;  ///< of the window; without blocks they are evaluated for the sample alone
  std::size_t tokens = 0;                ///< of these responses that a basis can be fitted to
  double extraction_flops = 0;           ///< of the whole window
};

/// Reads the first window and chooses. Depends on the data, the model and the settings alone.
/// @param share  of the tokens that extraction takes the expectation of, see token_share()
TokenSample choose_token_sample(const Backbone& backbone, const RecordStore& data, ParallelExtractor& extractor,
                                std::size_t rank, double share, bool skip_bad);

/// How closely expectations are computed for the sample's basis: a share of the extraction decides.
ExpectationEffort effort_for(const TokenSample& sample, const OutputMatrix& output);

/// The basis of a sample of blocks, whose states are kept.
TokenBasis fit_to_kept(const TokenSample& sample, const KeptStates& kept, PoolOver over, const OutputMatrix& output,
                       std::size_t rank, int threads);
/// The basis of a sample without blocks, whose responses are evaluated here.
TokenBasis fit_to_responses(const TokenSample& sample, FeatureExtractor& extractor, const OutputMatrix& output,
                            std::size_t rank, int threads);

}  // namespace coala
