#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "core/matrix.h"
#include "extract/block_store.h"
#include "extract/feature_extractor.h"
#include "extract/part_store.h"
#include "extract/token_consumer.h"

namespace coala {

/// Keeps what pooling, the sums for a token head and a basis look at: the states of responses' tokens and of those
/// before them, of the prompts' too where these are pooled. In the order in which they come, so that whoever gets them
/// again computes the same bits.
class StateKeeper : public TokenConsumer {
 public:
  StateKeeper(std::span<const EncodedResponse* const> responses, PoolOver over, std::size_t width);
  void take(const EvaluatedToken& token) override;
  /// Response, position and state of each, [kept_rows(), kStateAt + d]. Both numbers are below 2^24, hence exact.
  const Matrix<float>& rows() const { return rows_; }

  static constexpr std::size_t kStateAt = 2;

 private:
  std::span<const EncodedResponse* const> responses_;
  PoolOver over_;
  Matrix<float> rows_;
  std::size_t taken_ = 0;
};

/// How many rows are kept of responses.
std::size_t kept_rows(std::span<const EncodedResponse* const> responses, PoolOver over);

/// Hands rows that were kept to consumers, as FeatureExtractor::stream() hands the states that it evaluates.
void replay(std::span<const EncodedResponse* const> responses, const Matrix<float>& rows,
            std::span<TokenConsumer* const> consumers);

/// States of whole blocks, in a file of their own until the output is finished. The basis of a token head has to be
/// known before the sums that are in it: so some blocks are evaluated first, and their states serve both.
class KeptStates {
 public:
  /// Takes over what a stopped run has left of the same; what was made from something else is dropped.
  /// @throws Error{Io}; Error{BadUsage} while another process writes it
  /// @param dimension  of a state
  KeptStates(const std::filesystem::path& path, const Metadata& description, std::size_t dimension);

  bool contains(BlockId id) const { return log_->contains(id); }
  void put(BlockId id, const Matrix<float>& rows) { log_->put(id, rows); }
  /// @param count  kept_rows() of the block's responses
  Matrix<float> rows(BlockId id, std::size_t count) const;

 private:
  OutputLock lock_;
  std::size_t width_;
  std::unique_ptr<BlockLog> log_;
};

}  // namespace coala
