#include "data/writer.h"

#include <fmt/format.h>
#include <zlib.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/atomic_file.h"
#include "core/error.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr std::size_t kBlockBytes = std::size_t{1} << 16;

/// Whether a text stands in JSON as it is. Written so that the compiler looks at many bytes at a time.
bool is_plain(std::string_view text) {
  bool special = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    special |= byte < 0x20 || byte >= 0x80 || c == '"' || c == '\\';
  }
  return !special;
}

void put_text(std::string& line, std::string_view text) {
  if (!is_plain(text)) {
    line += json(text).dump();
    return;
  }
  line += '"';
  line += text;
  line += '"';
}

void put_column(std::string& line, const char* column, std::string_view text) {
  line += fmt::format("{}\"{}\":", line.size() > 1 ? "," : "", column);
  put_text(line, text);
}

void put_prompt(std::string& line, const Prompt& prompt) {
  if (prompt.messages.empty()) {
    put_column(line, "prefix", prompt.text);
    return;
  }
  // A list even for one message: a text might be taken for another shape (a dialogue of HH-RLHF) when read back.
  line += ",\"prompt\":[";
  for (const Message& message : prompt.messages) {
    line += &message == prompt.messages.data() ? "{\"role\":" : ",{\"role\":";
    put_text(line, message.role);
    line += ",\"content\":";
    put_text(line, message.content);
    line += '}';
  }
  line += ']';
}

void put_number(std::string& line, const char* column, const std::optional<double>& number) {
  if (!number) return;
  if (!std::isfinite(*number)) throw Error(ErrorCode::BadInput, fmt::format("{} is {}", column, *number));
  line += fmt::format(",\"{}\":{}", column, json(*number).dump());
}

void put_record(std::string& line, const Pair& pair) {
  put_prompt(line, pair.prompt);
  put_column(line, "chosen", pair.chosen);
  put_column(line, "rejected", pair.rejected);
  put_number(line, "margin", pair.margin);
  put_number(line, "weight", pair.weight);
}

void put_record(std::string& line, const Labelled& labelled) {
  if (!labelled.prompt.messages.empty() || !labelled.prompt.text.empty()) put_prompt(line, labelled.prompt);
  put_column(line, "response", labelled.response);
  line += fmt::format(",\"label\":{}", labelled.label);
}

/// deflate with a gzip header that holds no time and no name.
class Deflater {
 public:
  Deflater() {
    constexpr int kGzip = 16;  // added to the window size: write a gzip header
    constexpr int kMemoryLevel = 8;
    if (deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzip, kMemoryLevel,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
      throw Error(ErrorCode::OutOfMemory, "cannot set up the gzip writer");
    }
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  void pack(std::string_view text, bool last, AtomicFile& to) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(text.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(packed_.data());
      stream_.avail_out = static_cast<uInt>(packed_.size());
      if (::deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR) {
        throw Error(ErrorCode::Internal, "the gzip writer refused its input");
      }
      to.write(packed_.data(), packed_.size() - stream_.avail_out);
    } while (stream_.avail_out == 0);
  }

 private:
  z_stream stream_ = {};
  std::string packed_ = std::string(kBlockBytes, '\0');
};

}  // namespace

std::string to_json_line(const Record& record) {
  try {
    std::string line = "{";
    std::visit(
        [&](const auto& held) {
          put_column(line, "id", held.id);
          put_record(line, held);
          if (!held.subset.empty()) put_column(line, "subset", held.subset);
          if (!held.question.empty()) put_column(line, "group", held.question);
        },
        record);
    line += '}';
    return line;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::BadInput, fmt::format("a record cannot be written as JSON: {}", error.what()),
                "its texts must be UTF-8");
  }
}

struct RecordWriter::State {
  explicit State(const std::filesystem::path& path) : file(path) {
    if (path.extension() == ".gz") deflater = std::make_unique<Deflater>();
  }

  void flush(bool last) {
    if (deflater) {
      deflater->pack(buffer, last, file);
    } else {
      file.write(buffer);
    }
    buffer.clear();
  }

  AtomicFile file;
  std::unique_ptr<Deflater> deflater;
  std::string buffer;
  std::uint64_t records = 0;
};

RecordWriter::RecordWriter(const std::filesystem::path& path) : state_(std::make_unique<State>(path)) {}
RecordWriter::~RecordWriter() = default;

void RecordWriter::write(const Record& record) {
  state_->buffer += to_json_line(record);
  state_->buffer += '\n';
  ++state_->records;
  if (state_->buffer.size() >= kBlockBytes) state_->flush(/*last=*/false);
}

void RecordWriter::commit() {
  state_->flush(/*last=*/true);
  state_->file.commit();
}

std::uint64_t RecordWriter::records() const {
  return state_->records;
}

}  // namespace coala
