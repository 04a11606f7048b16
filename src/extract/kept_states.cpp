#include "extract/kept_states.h"

#include <algorithm>

#include "core/error.h"

namespace coala {

namespace {

/// Positions of tokens in a response.
struct Positions {
  std::size_t first = 0, end = 0;
};

Positions kept_positions(const EncodedResponse& response, PoolOver over) {
  // The state before a response's first token is that of the prompt's last.
  const std::size_t before = response.prompt_tokens > 0 ? response.prompt_tokens - 1 : 0;
  return {over == PoolOver::All ? 0 : before, response.tokens.size() - response.closing_tokens};
}

}  // namespace

std::size_t kept_rows(std::span<const EncodedResponse* const> responses, PoolOver over) {
  std::size_t rows = 0;
  for (const EncodedResponse* response : responses) {
    const Positions kept = kept_positions(*response, over);
    rows += kept.end - kept.first;
  }
  return rows;
}

StateKeeper::StateKeeper(std::span<const EncodedResponse* const> responses, PoolOver over, std::size_t width)
    : responses_(responses), over_(over), rows_(kept_rows(responses, over), kStateAt + width) {}

void StateKeeper::take(const EvaluatedToken& token) {
  const Positions kept = kept_positions(*responses_[token.response], over_);
  if (token.position < kept.first || token.position >= kept.end) return;
  const std::span<float> row = rows_.row(taken_++);
  row[0] = static_cast<float>(token.response);
  row[1] = static_cast<float>(token.position);
  std::ranges::copy(token.state, row.subspan(kStateAt).begin());
}

void replay(std::span<const EncodedResponse* const> responses, const Matrix<float>& rows,
            std::span<TokenConsumer* const> consumers) {
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const std::span<const float> row = rows.row(i);
    const auto k = static_cast<std::size_t>(row[0]);
    const auto position = static_cast<std::size_t>(row[1]);
    const EvaluatedToken token{k, position, responses[k]->tokens[position], row.subspan(StateKeeper::kStateAt)};
    for (TokenConsumer* consumer : consumers) consumer->take(token);
  }
}

KeptStates::KeptStates(const std::filesystem::path& path, const Metadata& description, std::size_t dimension)
    : lock_(path), width_(StateKeeper::kStateAt + dimension) {
  try {
    log_ = std::make_unique<BlockLog>(path, description, width_, BlockLog::Access::Append);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::Mismatch) throw;
    std::filesystem::remove(path);
    log_ = std::make_unique<BlockLog>(path, description, width_, BlockLog::Access::Append);
  }
}

Matrix<float> KeptStates::rows(BlockId id, std::size_t count) const {
  Matrix<float> rows(count, width_);
  for (std::size_t i = 0; i < count; ++i) log_->read(id, i, rows.row(i));
  return rows;
}

}  // namespace coala
