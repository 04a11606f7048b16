#include "data/record_store.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "data/data_files.h"

namespace coala {
namespace {

/// What stays in memory before it goes to the file, and what is read from it at once.
constexpr std::size_t kBlockBytes = std::size_t{4} << 20;

/// Progress is told of in steps of so many.
constexpr std::uint64_t kToldBytes = std::uint64_t{1} << 20;

// A record is its texts with their lengths in front of them and its numbers as they are in memory.

template <class Number>
void put(std::string& to, Number number) {
  static_assert(std::is_arithmetic_v<Number>);
  to.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void put(std::string& to, std::string_view text) {
  put(to, static_cast<std::uint64_t>(text.size()));
  to += text;
}

void put(std::string& to, const Prompt& prompt) {
  put(to, std::string_view(prompt.text));
  put(to, static_cast<std::uint64_t>(prompt.messages.size()));
  for (const Message& message : prompt.messages) {
    put(to, std::string_view(message.role));
    put(to, std::string_view(message.content));
  }
}

void put(std::string& to, const std::optional<double>& number) {
  put(to, number.has_value());
  put(to, number.value_or(0));
}

/// Everything but the id.
void put_content(std::string& to, const Record& record) {
  std::visit(
      [&](const auto& held) {
        put(to, std::string_view(held.subset));
        put(to, std::string_view(held.question));
        put(to, held.prompt);
      },
      record);
  if (const Pair* pair = std::get_if<Pair>(&record)) {
    put(to, std::string_view(pair->chosen));
    put(to, std::string_view(pair->rejected));
    put(to, pair->margin);
    put(to, pair->weight);
  } else {
    const Labelled& labelled = std::get<Labelled>(record);
    put(to, std::string_view(labelled.response));
    put(to, labelled.label);
  }
}

/// Takes the parts of a record from its bytes, in their order.
class Parts {
 public:
  explicit Parts(std::string_view bytes) : rest_(bytes) {}

  template <class Number>
  Number number() {
    Number value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(number<std::uint64_t>())); }
  Prompt prompt() {
    Prompt prompt;
    prompt.text = text();
    prompt.messages.resize(number<std::uint64_t>());
    for (Message& message : prompt.messages) {
      message.role = text();
      message.content = text();
    }
    return prompt;
  }
  std::optional<double> optional_number() {
    const bool there = number<bool>();
    const auto value = number<double>();
    return there ? std::optional(value) : std::nullopt;
  }

 private:
  std::string_view take(std::uint64_t bytes) {
    if (bytes > rest_.size()) throw Error(ErrorCode::Internal, "a stored record ends too early");
    const std::string_view part = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return part;
  }
  std::string_view rest_;
};

void take(Parts& parts, RecordNotes& notes, Prompt& prompt) {
  notes.id = parts.text();
  notes.subset = parts.text();
  notes.question = parts.text();
  prompt = parts.prompt();
}

Record record_of(std::string_view bytes, RecordKind kind) {
  Parts parts(bytes);
  if (kind == RecordKind::Labelled) {
    Labelled labelled;
    take(parts, labelled, labelled.prompt);
    labelled.response = parts.text();
    labelled.label = parts.number<int>();
    return labelled;
  }
  Pair pair;
  take(parts, pair, pair.prompt);
  pair.chosen = parts.text();
  pair.rejected = parts.text();
  pair.margin = parts.optional_number();
  pair.weight = parts.optional_number();
  return pair;
}

/// 0 when it cannot be known, as of a pipe.
std::uint64_t bytes_of(const std::vector<std::filesystem::path>& files) {
  std::uint64_t bytes = 0;
  for (const std::filesystem::path& file : files) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(file, error)) return 0;
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    if (error) return 0;
    bytes += size;
  }
  return bytes;
}

}  // namespace

/// Puts records behind each other, and hashes them.
class RecordStore::Appender {
 public:
  explicit Appender(RecordStore& store) : store_(store) {
    hasher_.add(store.kind_ == RecordKind::Pair ? "pairs" : "labelled");
  }

  void add(const Record& record) {
    std::string& recent = store_.recent_;
    store_.offsets_.push_back((store_.file_ ? store_.file_->bytes() : 0) + recent.size());
    content_.clear();
    put_content(content_, record);
    hasher_.add(content_);
    std::visit([&](const auto& held) { put(recent, std::string_view(held.id)); }, record);
    recent += content_;
    if (recent.size() < kBlockBytes) return;
    if (!store_.file_) store_.file_ = std::make_unique<TemporaryFile>(store_.folder_);
    store_.file_->append(recent.data(), recent.size());
    recent.clear();
  }

  void finish() { store_.hash_ = hasher_.hex(); }

 private:
  RecordStore& store_;
  Hasher hasher_;
  std::string content_;
};

RecordStore::RecordStore(const DataFiles& data, const std::filesystem::path& folder)
    : name_(name_of(data.paths)), folder_(folder) {
  Progress progress("reading", bytes_of(data.paths), "bytes");
  progress.may_end_early();
  RecordReader reader(data);
  kind_ = reader.kind();
  Appender appender(*this);
  std::uint64_t told = 0;
  for (Record record; reader.next(record);) {
    appender.add(record);
    if (reader.bytes_read() - told >= kToldBytes) {
      progress.advance(reader.bytes_read() - std::exchange(told, reader.bytes_read()));
    }
  }
  appender.finish();
  counts_ = reader.counts();
  for (const std::string& example : counts_.bad_examples) log_warning("left out: " + example);
}

RecordStore::RecordStore(std::span<const Labelled> records, std::string name)
    : kind_(RecordKind::Labelled), name_(std::move(name)) {
  Appender appender(*this);
  for (const Labelled& record : records) appender.add(record);
  appender.finish();
}

RecordStore::RecordStore(std::span<const Pair> records, std::string name)
    : kind_(RecordKind::Pair), name_(std::move(name)) {
  Appender appender(*this);
  for (const Pair& record : records) appender.add(record);
  appender.finish();
}

std::uint64_t RecordStore::end_of(std::size_t number) const {
  return number + 1 < offsets_.size() ? offsets_[number + 1] : (file_ ? file_->bytes() : 0) + recent_.size();
}

std::string RecordStore::bytes(std::uint64_t begin, std::uint64_t end) const {
  std::string bytes(end - begin, '\0');
  const std::uint64_t in_file = file_ ? file_->bytes() : 0;
  const std::uint64_t from_file = begin < in_file ? std::min(end, in_file) - begin : 0;
  if (from_file > 0) file_->read(begin, bytes.data(), from_file);
  if (from_file < bytes.size()) {
    std::memcpy(bytes.data() + from_file, recent_.data() + (begin + from_file - in_file), bytes.size() - from_file);
  }
  return bytes;
}

Record RecordStore::record(std::size_t number) const {
  return record_of(bytes(offsets_.at(number), end_of(number)), kind_);
}

bool RecordCursor::next(Record& record) {
  if (number_ == store_->size()) return false;
  const std::uint64_t begin = store_->offsets_[number_];
  const std::uint64_t end = store_->end_of(number_);
  if (end > block_begin_ + block_.size()) {
    const std::uint64_t all = store_->end_of(store_->size() - 1);
    block_begin_ = begin;
    block_ = store_->bytes(begin, std::max(end, std::min(begin + kBlockBytes, all)));
  }
  record = record_of(std::string_view(block_).substr(begin - block_begin_, end - begin), store_->kind_);
  ++number_;
  return true;
}

bool RecordCursor::next(Pair& pair) {
  Record record;
  if (!next(record)) return false;
  pair = std::get<Pair>(std::move(record));
  return true;
}

bool RecordCursor::next(Labelled& labelled) {
  Record record;
  if (!next(record)) return false;
  labelled = std::get<Labelled>(std::move(record));
  return true;
}

}  // namespace coala
