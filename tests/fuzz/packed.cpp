// Packed files. An even first byte: the rest is the file as it is. An odd one: the rest is packed here by gzip or zstd,
// in two members when the byte says so, and must come out as it went in.
#include <zlib.h>
#include <zstd.h>

#include <string>

#include "core/error.h"
#include "data/byte_source.h"
#include "input_file.h"

namespace {

std::string zstd_packed(const std::string& text) {
  std::string result(ZSTD_compressBound(text.size()), '\0');
  const std::size_t bytes = ZSTD_compress(result.data(), result.size(), text.data(), text.size(), 1);
  coala::fuzz::require(ZSTD_isError(bytes) == 0);
  result.resize(bytes);
  return result;
}

std::string gzip_packed(const std::string& text) {
  z_stream stream{};
  coala::fuzz::require(deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string result(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  coala::fuzz::require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

/// All of a file, in pieces of a size that the input chooses. A small packed file may be huge when unpacked.
std::string read_all(const std::filesystem::path& path, std::size_t step) {
  constexpr std::size_t kMostBytes = 1 << 20;
  std::string text;
  coala::ByteSource source(path);
  while (!source.window().empty() && text.size() < kMostBytes) {
    const std::string_view piece = source.window().substr(0, step);
    text += piece;
    source.consume(piece.size());
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::size_t step = data[0] % 64 == 0 ? 1 << 16 : data[0];
  if (data[0] % 2 == 0) {
    try {
      const coala::fuzz::InputFile file(rest.data(), rest.size());
      read_all(file.path(), step);
    } catch (const coala::Error&) {
    }
    return 0;
  }
  const std::size_t cut = data[0] % 4 == 1 ? rest.size() / 2 : rest.size();
  const auto packed = data[0] % 8 < 4 ? gzip_packed : zstd_packed;
  const std::string file_bytes = packed(rest.substr(0, cut)) + (cut < rest.size() ? packed(rest.substr(cut)) : "");
  const coala::fuzz::InputFile file(file_bytes.data(), file_bytes.size());
  coala::fuzz::require(read_all(file.path(), step) == rest);
  return 0;
}
