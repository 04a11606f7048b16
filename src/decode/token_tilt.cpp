#include "decode/token_tilt.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/vectorise.h"

namespace coala {
namespace {

/// Logits that stay in the first-level cache while the rows of the table are added to them.
constexpr std::size_t kBlock = 2048;

COALA_WIDEST_LANES void add_scaled(const float* row, float factor, float* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] += factor * row[i];
}

void add_combination(const Matrix<float>& table, std::span<const float> factors, std::span<float> logits) {
  for (std::size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, logits.size() - begin);
    for (std::size_t b = 0; b < factors.size(); ++b) {
      add_scaled(table.row(b).data() + begin, factors[b], logits.data() + begin, count);
    }
  }
}

Matrix<float> table_of(const TokenHead& head, const OutputMatrix& output) {
  if (head.dimension() != output.dimension()) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("the token head is for states of {} numbers, the model's have {}", head.dimension(),
                            output.dimension()),
                "use the model that the head was trained with");
  }
  return output.table(head.embeddings);
}

}  // namespace

TokenTilt::TokenTilt(const TokenHead& head, const OutputMatrix& output, double scale)
    : head_(head), table_(table_of(head, output)), scale_(static_cast<float>(scale)) {}

void TokenTilt::add(std::span<const float> state, std::span<float> logits) const {
  std::vector<float> factors(head_.rank());
  head_.direction(state, factors);
  for (float& factor : factors) factor *= scale_;
  add_combination(table_, factors, logits);
}

BiasTilt::BiasTilt(const TokenHead& head, const OutputMatrix& output, double scale)
    : bias_(output.padded_vocabulary(), 0.0f) {
  std::vector<float> factors;
  for (const float a : head.bias) factors.push_back(static_cast<float>(static_cast<double>(a) * scale));
  add_combination(table_of(head, output), factors, bias_);
}

void BiasTilt::add(std::span<const float>, std::span<float> logits) const {
  add_scaled(bias_.data(), 1.0f, logits.data(), logits.size());
}

}  // namespace coala
