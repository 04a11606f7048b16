#include "data/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace coala {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 17;

/// Refuses what is certainly not JSON text, by its first bytes: "unexpected character" would help nobody.
void refuse_foreign_format(const std::filesystem::path& path, std::string_view start) {
  struct Format {
    std::string_view magic;
    const char* name;
    const char* hint;
  };
  static constexpr Format kFormats[] = {
      {{"\xfd"
        "7zXZ",
        5},
       "xz-compressed",
       "unpack it with unxz, or repack it with gzip"},
      {"BZh", "bzip2-compressed", "unpack it with bunzip2, or repack it with gzip"},
      {"PK\x03\x04", "a zip archive", "unpack it and pass the JSON file that is inside"},
      {{"\xff\xfe", 2}, "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"},
      {{"\xfe\xff", 2}, "UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"},
      {{"{\0", 2}, "UTF-16 text", "convert it: iconv -f UTF-16LE -t UTF-8"},
      {{"\0{", 2}, "UTF-16 text", "convert it: iconv -f UTF-16BE -t UTF-8"},
  };
  for (const Format& format : kFormats) {
    if (start.starts_with(format.magic)) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("{} is {}; expected JSON text, plain, gzip or zstd", path.string(), format.name),
                  format.hint);
    }
  }
}

}  // namespace

ByteSource::ByteSource(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    throw Error(ErrorCode::BadInput, fmt::format("cannot open {}: {}", path_.string(), std::strerror(errno)),
                "check the path");
  }
  try {
    // The first bytes decide; a pipe may deliver them one by one.
    constexpr std::size_t kLongestMagic = 6;
    std::string start;
    while (start.size() < kLongestMagic && read_block()) start += block_;
    block_ = std::move(start);
    if (is_table(block_)) {
      converter_ = std::make_unique<TableConverter>(path_);
      return;
    }
    refuse_foreign_format(path_, block_);
    unpacker_ = unpacker_for(block_, path_);
    if (!unpacker_) ready_ = block_;
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ByteSource::~ByteSource() {
  ::close(descriptor_);
}

std::string_view ByteSource::window() {
  if (ready_.empty() && !at_end_) fill();
  return ready_;
}

void ByteSource::consume(std::size_t count) {
  ready_.remove_prefix(std::min(count, ready_.size()));
}

/// Replaces block_ by the file's next bytes; false at its end.
bool ByteSource::read_block() {
  block_.resize(kBlockBytes);
  used_ = 0;
  for (;;) {
    const ssize_t got = ::read(converter_ ? converter_->descriptor() : descriptor_, block_.data(), block_.size());
    if (got >= 0) {
      block_.resize(static_cast<std::size_t>(got));
      if (!converter_) bytes_read_ += static_cast<std::uint64_t>(got);
      if (got == 0 && converter_) converter_->finish();
      return got > 0;
    }
    if (errno == EINTR) continue;
    const int error = errno;
    throw Error(error == EISDIR ? ErrorCode::BadInput : ErrorCode::Io,
                fmt::format("cannot read {}: {}", path_.string(), std::strerror(error)),
                error == EISDIR ? "pass a file, not a folder" : "");
  }
}

void ByteSource::fill() {
  if (unpacker_) {
    unpack_some();
  } else {
    at_end_ = !read_block();
    ready_ = block_;
  }
}

/// Unpacks until there is something to show or the file ends.
void ByteSource::unpack_some() {
  for (;;) {
    if (used_ == block_.size() && !read_block()) {
      // What the unpacker still holds comes first.
      unpacked_.resize(kBlockBytes);
      unpacked_.resize(unpacker_->unpack({}, unpacked_).written);
      if (unpacked_.empty()) {
        unpacker_->finish();
        at_end_ = true;
      }
      ready_ = unpacked_;
      return;
    }
    unpacked_.resize(kBlockBytes);
    const Unpacker::Step step = unpacker_->unpack(std::string_view(block_).substr(used_), unpacked_);
    used_ += step.taken;
    unpacked_.resize(step.written);
    if (!unpacked_.empty()) {
      ready_ = unpacked_;
      return;
    }
  }
}

}  // namespace coala
