#include "data/unpacker.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <string>
#include <utility>

#include "core/error.h"

namespace coala {
namespace {

constexpr std::string_view kGzipMagic{"\x1f\x8b", 2};
constexpr std::string_view kZstdMagic{"\x28\xb5\x2f\xfd", 4};

[[noreturn]] void fail_damaged(const std::filesystem::path& path, const char* format, const std::string& what) {
  throw Error(ErrorCode::CorruptFile, fmt::format("{} is a damaged {} file: {}", path.string(), format, what),
              fmt::format("fetch or write the file again; `{} -t` tells whether it is whole", format));
}

/// Memory for a zstd file, as a power of two: 128 MB, which the zstd program takes unless told otherwise.
constexpr int kLargestWindow = 27;

constexpr const char* kEndsInside = "it ends in the middle of the compressed data";

class GzipUnpacker : public Unpacker {
 public:
  explicit GzipUnpacker(std::filesystem::path path) : path_(std::move(path)) {
    constexpr int kGzipOnly = 16;  // added to the window size: expect a gzip header, check its checksum and length
    if (inflateInit2(&stream_, MAX_WBITS + kGzipOnly) != Z_OK) {
      throw Error(ErrorCode::OutOfMemory, "cannot set up the gzip reader");
    }
  }
  ~GzipUnpacker() override { inflateEnd(&stream_); }
  GzipUnpacker(const GzipUnpacker&) = delete;
  GzipUnpacker& operator=(const GzipUnpacker&) = delete;

  Step unpack(std::string_view packed, std::span<char> out) override {
    std::size_t padding = 0;
    if (between_members_) {
      // Zeros after the last member are padding (tapes, block devices), as gzip itself has it.
      while (padding < packed.size() && packed[padding] == '\0') ++padding;
      if (padding == packed.size()) return {padding, 0};
      if (packed[padding] != kGzipMagic[0]) {
        fail_damaged(path_, "gzip", "there is something else after the end of the compressed data");
      }
      if (inflateReset(&stream_) != Z_OK) fail_damaged(path_, "gzip", "the next member cannot be started");
      between_members_ = false;
      packed.remove_prefix(padding);
    }
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));  // zlib does not write there
    stream_.avail_in = static_cast<uInt>(packed.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    if (status == Z_MEM_ERROR) throw Error(ErrorCode::OutOfMemory, "no memory to unpack " + path_.string());
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      fail_damaged(path_, "gzip", stream_.msg != nullptr ? stream_.msg : "the compressed data is inconsistent");
    }
    between_members_ = status == Z_STREAM_END;
    return {padding + packed.size() - stream_.avail_in, out.size() - stream_.avail_out};
  }

  void finish() override {
    if (!between_members_) fail_damaged(path_, "gzip", kEndsInside);
  }

 private:
  std::filesystem::path path_;
  z_stream stream_ = {};
  bool between_members_ = false;  ///< a member ended, and no byte of the next has been seen
};

class ZstdUnpacker : public Unpacker {
 public:
  explicit ZstdUnpacker(std::filesystem::path path) : path_(std::move(path)), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr || ZSTD_isError(ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kLargestWindow)) != 0) {
      ZSTD_freeDStream(stream_);
      throw Error(ErrorCode::OutOfMemory, "cannot set up the zstd reader");
    }
  }
  ~ZstdUnpacker() override { ZSTD_freeDStream(stream_); }
  ZstdUnpacker(const ZstdUnpacker&) = delete;
  ZstdUnpacker& operator=(const ZstdUnpacker&) = delete;

  Step unpack(std::string_view packed, std::span<char> out) override {
    if (packed.empty() && between_frames_) return {};
    ZSTD_inBuffer input{packed.data(), packed.size(), 0};
    ZSTD_outBuffer output{out.data(), out.size(), 0};
    const std::size_t status = ZSTD_decompressStream(stream_, &output, &input);
    if (ZSTD_getErrorCode(status) == ZSTD_error_frameParameter_windowTooLarge) {
      throw Error(
          ErrorCode::BadInput,
          fmt::format("{} was packed with a window of more than {} MB", path_.string(), 1 << (kLargestWindow - 20)),
          "pack it again without --long or --ultra");
    }
    if (ZSTD_isError(status) != 0) fail_damaged(path_, "zstd", ZSTD_getErrorName(status));
    between_frames_ = status == 0;
    return {input.pos, output.pos};
  }

  void finish() override {
    if (!between_frames_) fail_damaged(path_, "zstd", kEndsInside);
  }

 private:
  std::filesystem::path path_;
  ZSTD_DStream* stream_;
  bool between_frames_ = false;
};

}  // namespace

std::unique_ptr<Unpacker> unpacker_for(std::string_view start, const std::filesystem::path& path) {
  if (start.starts_with(kGzipMagic)) return std::make_unique<GzipUnpacker>(path);
  if (start.starts_with(kZstdMagic)) return std::make_unique<ZstdUnpacker>(path);
  return nullptr;
}

}  // namespace coala
