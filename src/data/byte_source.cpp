#include "data/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace coala {
namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 17;
constexpr std::string_view kGzipMagic{"\x1f\x8b", 2};

/// Refuses what is certainly not JSON text, by its first bytes: "unexpected character" would help nobody.
void refuse_foreign_format(const std::filesystem::path& path, std::string_view start) {
  struct Format {
    std::string_view magic;
    const char* name;
    const char* hint;
  };
  static constexpr Format kFormats[] = {
      {{"\x28\xb5\x2f\xfd", 4}, "zstd-compressed", "unpack it with unzstd, or repack it with gzip"},
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
                  fmt::format("{} is {}; expected JSON text, plain or gzip", path.string(), format.name), format.hint);
    }
  }
}

}  // namespace

struct ByteSource::Inflater {
  z_stream stream = {};
  bool between_members = false;  ///< a member ended, and no byte of the next has been seen

  Inflater() {
    constexpr int kGzipOnly = 16;  // added to the window size: expect a gzip header, check its checksum and length
    if (inflateInit2(&stream, MAX_WBITS + kGzipOnly) != Z_OK) {
      throw Error(ErrorCode::OutOfMemory, "cannot set up the gzip reader");
    }
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

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
    if (block_.starts_with(kGzipMagic)) {
      inflater_ = std::make_unique<Inflater>();
    } else {
      ready_ = block_;
    }
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
  if (inflater_) {
    inflate_some();
  } else {
    at_end_ = !read_block();
    ready_ = block_;
  }
}

void ByteSource::fail_gzip(const std::string& what) const {
  throw Error(ErrorCode::CorruptFile, fmt::format("{} is a damaged gzip file: {}", path_.string(), what),
              "fetch or write the file again; `gzip -t` tells whether it is whole");
}

/// Unpacks until there is something to show or the file ends.
void ByteSource::inflate_some() {
  z_stream& stream = inflater_->stream;
  for (;;) {
    if (used_ == block_.size() && !read_block()) {
      if (!inflater_->between_members) fail_gzip("it ends in the middle of the compressed data");
      at_end_ = true;
      return;
    }
    if (inflater_->between_members) {
      // Zeros after the last member are padding (tapes, block devices), as gzip itself has it.
      while (used_ < block_.size() && block_[used_] == '\0') ++used_;
      if (used_ == block_.size()) continue;
      if (block_[used_] != kGzipMagic[0]) fail_gzip("there is something else after the end of the compressed data");
      if (inflateReset(&stream) != Z_OK) fail_gzip("the next member cannot be started");
      inflater_->between_members = false;
    }
    unpacked_.resize(kBlockBytes);
    stream.next_in = reinterpret_cast<Bytef*>(block_.data() + used_);
    stream.avail_in = static_cast<uInt>(block_.size() - used_);
    stream.next_out = reinterpret_cast<Bytef*>(unpacked_.data());
    stream.avail_out = static_cast<uInt>(unpacked_.size());
    const int status = ::inflate(&stream, Z_NO_FLUSH);
    used_ = block_.size() - stream.avail_in;
    if (status == Z_MEM_ERROR) throw Error(ErrorCode::OutOfMemory, "no memory to unpack " + path_.string());
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      fail_gzip(stream.msg != nullptr ? stream.msg : "the compressed data is inconsistent");
    }
    if (status == Z_STREAM_END) inflater_->between_members = true;
    unpacked_.resize(unpacked_.size() - stream.avail_out);
    if (!unpacked_.empty()) {
      ready_ = unpacked_;
      return;
    }
  }
}

void require_rereadable(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status) || std::filesystem::is_regular_file(status)) return;
  throw Error(ErrorCode::BadInput,
              fmt::format("{} is no regular file, and the data are read more than once", path.string()),
              "write them to a file first: coala prepare reads a pipe");
}

}  // namespace coala
