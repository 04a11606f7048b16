#include "data/length_statistics.h"

#include <algorithm>

namespace coala {

void LengthStatistics::add(std::uint64_t length) {
  min_ = count_ == 0 ? length : std::min(min_, length);
  max_ = std::max(max_, length);
  sum_ += static_cast<double>(length);
  ++count_;
  if (length >= kUsual) {
    ++of_long_[length];
    return;
  }
  if (length >= of_length_.size()) of_length_.resize(length + 1);
  ++of_length_[length];
}

std::uint64_t LengthStatistics::median() const {
  const std::uint64_t rank = (count_ + 1) / 2;  // counted from 1
  std::uint64_t seen = 0;
  for (std::size_t length = 0; length < of_length_.size(); ++length) {
    seen += of_length_[length];
    if (seen >= rank && rank > 0) return length;
  }
  for (const auto& [length, count] : of_long_) {
    seen += count;
    if (seen >= rank) return length;
  }
  return 0;
}

}  // namespace coala
