#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/temporary_file.h"
#include "data/counts.h"
#include "data/reader.h"

namespace coala {

/// The records of preference files, for work that needs them more than once: the files are read once, and what was read
/// is kept in a temporary file, in the order of the files and without what no later stage wants. In memory are a few
/// megabytes and where each record begins.
class RecordStore {
 public:
  /// Reads everything, and tells how far it is (core/progress.h). Records that were left out as bad are named.
  /// @param folder  where the temporary file takes its space; little data stay in memory
  /// @throws what RecordReader throws; Error{Io} when there is no room
  RecordStore(const DataFiles& data, const std::filesystem::path& folder);
  /// Of records that come from elsewhere. @param name  for messages
  RecordStore(std::span<const Labelled> records, std::string name);
  RecordStore(std::span<const Pair> records, std::string name);

  std::size_t size() const { return offsets_.size(); }
  RecordKind kind() const { return kind_; }
  const ReaderCounts& counts() const { return counts_; }
  /// Name of the data for messages and provenance: "a.jsonl", or "a.jsonl and 3 more files".
  const std::string& name() const { return name_; }
  /// Hash of the records, their ids excepted: the same data packed or spelled another way have the same.
  const std::string& hash() const { return hash_; }
  /// Record `number`, from 0.
  Record record(std::size_t number) const;

 private:
  friend class RecordCursor;
  class Appender;
  std::uint64_t end_of(std::size_t number) const;
  std::string bytes(std::uint64_t begin, std::uint64_t end) const;

  RecordKind kind_ = RecordKind::Pair;
  ReaderCounts counts_;
  std::string name_;
  std::string hash_;
  std::filesystem::path folder_;
  std::vector<std::uint64_t> offsets_;  ///< of the records' first bytes
  std::string recent_;                  ///< bytes behind those in the file
  std::unique_ptr<TemporaryFile> file_;
};

/// Reads a store's records from the first to the last. The store outlives it.
class RecordCursor {
 public:
  explicit RecordCursor(const RecordStore& store) : store_(&store) {}
  /// False at the end.
  bool next(Record& record);
  /// The same for a store of one kind.
  bool next(Pair& pair);
  bool next(Labelled& labelled);

 private:
  const RecordStore* store_;
  std::size_t number_ = 0;
  std::string block_;
  std::uint64_t block_begin_ = 0;  ///< of its first byte in the store
};

}  // namespace coala
