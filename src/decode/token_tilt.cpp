#include "decode/token_tilt.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/vectorise.h"

namespace coala {
namespace {

/// Tokens of a block. Its logits stay in the first-level cache while the rows of the table are added to them.
constexpr std::size_t kBlock = 1024;

COALA_WIDEST_LANES void add_scaled(const float* row, float factor, float* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] += factor * row[i];
}

/// Adds rows of kBlock numbers, each times its factor; four at a time, so that `to` is read and written less often.
COALA_WIDEST_LANES void add_rows(const std::int16_t* rows, const float* factors, std::size_t row_count, float* to,
                                 std::size_t count) {
  for (std::size_t b = 0; b < row_count; b += 4) {
    const std::int16_t* row = rows + b * kBlock;
    for (std::size_t i = 0; i < count; ++i) {
      to[i] += factors[b] * static_cast<float>(row[i]) + factors[b + 1] * static_cast<float>(row[kBlock + i]) +
               factors[b + 2] * static_cast<float>(row[2 * kBlock + i]) +
               factors[b + 3] * static_cast<float>(row[3 * kBlock + i]);
    }
  }
}

Matrix<float> table_of(const Matrix<float>& embeddings, const OutputMatrix& output) {
  if (embeddings.cols() != output.dimension()) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("the token head is for states of {} numbers, the model's have {}", embeddings.cols(),
                            output.dimension()),
                "use the model that the head was trained with");
  }
  return output.table(embeddings);
}

}  // namespace

TokenTable::TokenTable(const Matrix<float>& embeddings, const OutputMatrix& output)
    : rank(embeddings.rows()), columns((rank + 3) / 4 * 4), units(columns, 0.0f) {
  constexpr float kLargest = 32767;
  const Matrix<float> table = table_of(embeddings, output);
  blocks.resize((table.cols() + kBlock - 1) / kBlock * columns * kBlock);
  for (std::size_t b = 0; b < rank; ++b) {
    float most = 0;
    for (const float value : table.row(b)) most = std::max(most, std::abs(value));
    units[b] = most > 0 ? most / kLargest : 1;
    for (std::size_t c = 0; c < table.cols(); ++c) {
      const std::size_t row = c / kBlock * columns + b;
      blocks[row * kBlock + c % kBlock] = static_cast<std::int16_t>(std::lround(table(b, c) / units[b]));
    }
  }
}

TokenTilt::TokenTilt(const TokenHead& head, const OutputMatrix& output, double scale)
    : TokenTilt(head, std::make_shared<const TokenTable>(head.embeddings, output), scale) {}

TokenTilt::TokenTilt(const TokenHead& head, std::shared_ptr<const TokenTable> table, double scale)
    : table_(std::move(table)), projection_(head.dimension(), table_->columns) {
  const std::size_t r = head.rank();
  for (std::size_t b = 0; b < r; ++b) {
    for (std::size_t j = 0; j < head.dimension(); ++j) {
      double sum = 0;
      for (std::size_t a = 0; a < r; ++a) {
        sum += static_cast<double>(head.states(a, j)) * static_cast<double>(head.weights(a, b));
      }
      projection_(j, b) = static_cast<float>(scale * sum * static_cast<double>(table_->units[b]));
    }
  }
}

void TokenTilt::add(std::span<const float> state, double scale, std::span<float> logits, ThreadPool* threads) const {
  const std::size_t r = projection_.cols();
  std::vector<float> factors(r);
  for (std::size_t j = 0; j < state.size(); ++j) add_scaled(projection_.row(j).data(), state[j], factors.data(), r);
  if (scale != 1) {
    for (float& factor : factors) factor = static_cast<float>(scale * static_cast<double>(factor));
  }
  const auto add_blocks = [&](int, std::size_t first, std::size_t last) {
    for (std::size_t begin = first * kBlock; begin < std::min(last * kBlock, logits.size()); begin += kBlock) {
      add_rows(table_->blocks.data() + begin * r, factors.data(), r, logits.data() + begin,
               std::min(kBlock, logits.size() - begin));
    }
  };
  constexpr std::size_t kFewBlocks = 4;  // not worth a second thread
  const std::size_t blocks = (logits.size() + kBlock - 1) / kBlock;
  if (threads != nullptr) {
    threads->for_chunks(blocks, kFewBlocks, add_blocks);
  } else {
    add_blocks(0, 0, blocks);
  }
}

BiasTilt::BiasTilt(const TokenHead& head, const OutputMatrix& output, double scale)
    : bias_(output.padded_vocabulary(), 0.0f) {
  const Matrix<float> table = table_of(head.embeddings, output);
  for (std::size_t b = 0; b < head.rank(); ++b) {
    const auto factor = static_cast<float>(static_cast<double>(head.bias[b]) * scale);
    add_scaled(table.row(b).data(), factor, bias_.data(), bias_.size());
  }
}

void BiasTilt::add(std::span<const float>, double scale, std::span<float> logits, ThreadPool*) const {
  add_scaled(bias_.data(), static_cast<float>(scale), logits.data(), logits.size());
}

}  // namespace coala
