#include "serve/chunk_framing.h"

#include <algorithm>
#include <optional>

#include "core/utf8.h"

namespace coala {
namespace {

std::optional<unsigned> hex_digit(char byte) {
  const char c = lower_case(byte);
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return std::nullopt;
}

}  // namespace

bool ChunkFraming::follow(std::string_view bytes) {
  while (!bytes.empty() && at_ != At::Wrong) {
    if (at_ == At::Data) {
      const auto taken = std::min<std::uint64_t>(size_, bytes.size());
      bytes.remove_prefix(taken);
      size_ -= taken;
      if (size_ == 0) at_ = At::DataReturn;
    } else {
      at_ = after(bytes.front());
      bytes.remove_prefix(1);
    }
  }
  return at_ != At::Wrong;
}

ChunkFraming::At ChunkFraming::after(char byte) {
  const auto only = [&](char expected, At next) { return byte == expected ? next : At::Wrong; };
  switch (at_) {
    case At::FirstDigit:
    case At::Digit: {
      constexpr std::uint64_t kLargest = std::uint64_t{1} << 56;
      const std::optional<unsigned> digit = hex_digit(byte);
      if (digit && size_ < kLargest) {
        size_ = 16 * size_ + *digit;
        return At::Digit;
      }
      if (digit || at_ == At::FirstDigit) return At::Wrong;
      return byte == ';' ? At::Extension : only('\r', At::SizeEnd);
    }
    case At::Extension:
      if (byte == '\r') return At::SizeEnd;
      return byte == '\n' || byte == '\0' ? At::Wrong : At::Extension;
    case At::SizeEnd:
      return only('\n', size_ == 0 ? At::LastReturn : At::Data);
    case At::DataReturn:
      return only('\r', At::DataEnd);
    case At::DataEnd:
      return only('\n', At::FirstDigit);
    case At::LastReturn:
      return only('\r', At::LastEnd);
    case At::LastEnd:
      return only('\n', At::Over);
    case At::Data:
    case At::Over:
    case At::Wrong:
      break;
  }
  return At::Wrong;
}

}  // namespace coala
