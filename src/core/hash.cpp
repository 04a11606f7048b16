#include "core/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"

namespace coala {

struct Hasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() { XXH3_128bits_reset(xxh); }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

Hasher::Hasher() : state_(std::make_unique<State>()) {}
Hasher::~Hasher() = default;

Hasher& Hasher::add(const void* data, std::size_t bytes) {
  XXH3_128bits_update(state_->xxh, data, bytes);
  return *this;
}

Hasher& Hasher::add(std::string_view text) {
  add(static_cast<std::int64_t>(text.size()));
  return add(text.data(), text.size());
}

Hasher& Hasher::add(std::int64_t number) {
  return add(&number, sizeof number);
}

std::string Hasher::hex() const {
  const XXH128_hash_t digest = XXH3_128bits_digest(state_->xxh);
  return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

std::uint64_t hash64(std::string_view text, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::string hash_text(std::string_view text) {
  return Hasher().add(text).hex();
}

std::string hash_file(const std::filesystem::path& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) {
    throw Error(ErrorCode::BadInput, fmt::format("cannot open {}: {}", path.string(), std::strerror(errno)),
                "check the path");
  }
  Hasher hasher;
  std::array<char, 1 << 18> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by fread
  for (std::size_t got = 0; (got = std::fread(buffer.data(), 1, buffer.size(), file.get())) > 0;) {
    hasher.add(buffer.data(), got);
  }
  if (std::ferror(file.get()) != 0) throw Error(ErrorCode::Io, fmt::format("cannot read {}", path.string()));
  return hasher.hex();
}

}  // namespace coala
