#include "extract/block_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

constexpr char kMagic[8] = {'c', 'o', 'a', 'l', 'a', 'b', 'l', '1'};

struct FileHeader {
  char magic[8];
  std::uint64_t description_bytes;
};

struct BlockHeader {
  std::uint32_t window, block;
  std::uint64_t rows;
  std::uint64_t checksum;  ///< of the fields above and the numbers
};

std::uint64_t checksum(const BlockHeader& header, std::span<const std::byte> numbers) {
  const std::string_view fields(reinterpret_cast<const char*>(&header), offsetof(BlockHeader, checksum));
  return hash64({reinterpret_cast<const char*>(numbers.data()), numbers.size()}, hash64(fields));
}

bool read_at(int descriptor, std::uint64_t offset, void* to, std::size_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor, at, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    offset += static_cast<std::uint64_t>(got);
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

[[noreturn]] void missing(BlockId id) {
  throw Error(ErrorCode::Internal, fmt::format("block {} of window {} was not evaluated", id.block, id.window));
}

}  // namespace

bool MemoryBlocks::contains(BlockId id) const {
  const std::lock_guard lock(mutex_);
  return blocks_.contains(id);
}

void MemoryBlocks::put(BlockId id, const Matrix<float>& features) {
  const std::lock_guard lock(mutex_);
  blocks_.insert_or_assign(id, features);
}

void MemoryBlocks::read(BlockId id, std::size_t row, std::span<float> feature) const {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(id);
  if (found == blocks_.end()) missing(id);
  const auto from = found->second.row(row);
  std::copy(from.begin(), from.end(), feature.begin());
}

BlockLog::BlockLog(std::filesystem::path path, const Metadata& description, std::size_t dimension, Access access)
    : path_(std::move(path)), dimension_(dimension), access_(access) {
  descriptor_ =
      ::open(path_.c_str(), (access == Access::Append ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor_ < 0) fail("open");
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) fail("read");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::string text = nlohmann::json(description).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  FileHeader header{};
  std::string found;
  if (read_at(descriptor_, 0, &header, sizeof header) && std::memcmp(header.magic, kMagic, sizeof kMagic) == 0 &&
      header.description_bytes < size) {
    found.resize(header.description_bytes);
    if (!read_at(descriptor_, sizeof header, found.data(), found.size())) found.clear();
  }
  header_end_ = sizeof header + text.size();
  if (found == text) {
    scan(size);
    return;
  }
  if (nlohmann::json other = nlohmann::json::parse(found, nullptr, false); other.is_object()) {
    ::close(descriptor_);
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} was made from something else: {}", path_.string(),
                            describe_difference(other.get<Metadata>(), description)),
                "remove it, or choose another --out");
  }
  if (access == Access::Read) {
    ::close(descriptor_);
    throw Error(ErrorCode::CorruptFile,
                fmt::format("{} is no log of features, or its beginning is damaged", path_.string()),
                "remove it; what it held is evaluated again");
  }
  if (::ftruncate(descriptor_, 0) != 0) fail("empty");
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.description_bytes = text.size();
  append(std::as_bytes(std::span(&header, 1)));
  append(std::as_bytes(std::span(text)));
}

BlockLog::~BlockLog() {
  ::close(descriptor_);
}

void BlockLog::fail(const char* operation) const {
  const int error = errno;
  if (descriptor_ >= 0) ::close(descriptor_);
  throw Error(ErrorCode::Io, fmt::format("cannot {} {}: {}", operation, path_.string(), std::strerror(error)),
              error == ENOSPC || error == EDQUOT ? "free some space and start again; finished work is kept"
                                                 : "check that the folder of the output exists and may be written");
}

void BlockLog::scan(std::uint64_t size) {
  end_ = header_end_;
  std::vector<std::byte> numbers;
  for (BlockHeader header{}; end_ + sizeof header <= size;) {
    if (!read_at(descriptor_, end_, &header, sizeof header)) break;
    const std::uint64_t begin = end_ + sizeof header;
    if (header.rows > (size - begin) / (dimension_ * sizeof(float))) break;
    numbers.resize(header.rows * dimension_ * sizeof(float));
    if (!read_at(descriptor_, begin, numbers.data(), numbers.size())) break;
    // Of a damaged block only the numbers are lost; damaged lengths end the log here or make nonsense of what follows,
    // which its checksums show.
    if (checksum(header, numbers) == header.checksum) at_[{header.window, header.block}] = begin;
    end_ = begin + numbers.size();
  }
  if (access_ == Access::Append && end_ < size && ::ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) {
    fail("shorten");
  }
}

void BlockLog::append(std::span<const std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t wrote = ::pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                                   static_cast<off_t>(end_ + static_cast<std::uint64_t>(done)));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const int error = errno;
      throw Error(ErrorCode::Io, fmt::format("cannot write {}: {}", path_.string(), std::strerror(error)),
                  "free some space, or check the folder, and start again; finished work is kept");
    }
    done += static_cast<std::size_t>(wrote);
  }
  end_ += bytes.size();
}

bool BlockLog::contains(BlockId id) const {
  const std::lock_guard lock(mutex_);
  return at_.contains(id);
}

void BlockLog::put(BlockId id, const Matrix<float>& features) {
  const auto numbers = std::as_bytes(features.values());
  BlockHeader header{id.window, id.block, features.rows(), 0};
  header.checksum = checksum(header, numbers);
  const std::lock_guard lock(mutex_);
  const std::uint64_t start = end_;
  try {
    append(std::as_bytes(std::span(&header, 1)));
    append(numbers);
  } catch (...) {
    end_ = start;  // what was written of it is overwritten by the next, or cut off by the next run
    throw;
  }
  at_[id] = start + sizeof header;
}

void BlockLog::read(BlockId id, std::size_t row, std::span<float> feature) const {
  std::uint64_t offset = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = at_.find(id);
    if (found == at_.end()) missing(id);
    offset = found->second + row * dimension_ * sizeof(float);
  }
  if (read_at(descriptor_, offset, feature.data(), feature.size_bytes())) return;
  throw Error(ErrorCode::Io, fmt::format("cannot read {}: {}", path_.string(), std::strerror(errno)),
              "check the disk; what is finished is kept");
}

void BlockLog::finish() {
  put(kFinished, Matrix<float>(0, dimension_));
  if (::fdatasync(descriptor_) != 0) throw Error(ErrorCode::Io, fmt::format("cannot write {}", path_.string()));
}

const BlockLog* BlockLogs::log_with(BlockId id) const {
  if (own_.contains(id)) return &own_;
  for (const auto& log : others_) {
    if (log->contains(id)) return log.get();
  }
  return nullptr;
}

void BlockLogs::read(BlockId id, std::size_t row, std::span<float> feature) const {
  const BlockLog* log = log_with(id);
  if (log == nullptr) missing(id);
  log->read(id, row, feature);
}

}  // namespace coala
