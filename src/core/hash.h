#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace coala {

/// Streaming 128-bit content hash (XXH3): tells whether an input changed, on every machine alike. It is not a
/// defence against somebody who forges files.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  Hasher& add(const void* data, std::size_t bytes);
  Hasher& add(std::string_view text);  ///< length-prefixed, so that ("ab","c") differs from ("a","bc")
  Hasher& add(std::int64_t number);
  std::string hex() const;  ///< 32 lower-case hexadecimal digits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// 64-bit hash of a text, seeded; decides splits by prompt.
std::uint64_t hash64(std::string_view text, std::uint64_t seed = 0) noexcept;

std::string hash_text(std::string_view text);
/// @throws Error{BadInput} when the file cannot be opened
std::string hash_file(const std::filesystem::path& path);

}  // namespace coala
