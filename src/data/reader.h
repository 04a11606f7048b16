#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <variant>
#include <vector>

#include "data/alternation.h"
#include "data/columns.h"
#include "data/counts.h"
#include "data/ranking.h"
#include "data/record.h"
#include "data/shape.h"

namespace coala {

using Record = std::variant<Pair, Labelled>;
enum class RecordKind { Pair, Labelled };

struct ReaderOptions {
  Shape shape = Shape::Auto;
  Alternation alternation = Alternation::Paper;          ///< how conversations become pairs
  Rankings rankings = Rankings::All;                     ///< how several responses become pairs
  ColumnOptions columns;                                 ///< how columns are called
  bool unjudged = false;                                 ///< answers without a judgement are read as well
  bool skip_bad = false;                                 ///< records that cannot be read are left out, and counted
  std::size_t max_record_bytes = std::size_t{16} << 20;  ///< longest JSON object; bounds the memory
};

/// Files of preferences, read one after the other as if they were one, and how they are to be read.
struct DataFiles {
  std::vector<std::filesystem::path> paths;
  ReaderOptions reader;
};

class RowSource;

/// Reads preferences of every shape in docs/data-shapes.md from files, one record at a time: memory does not grow with
/// them. They hold pairs or labelled responses, not both; the shapes of the same kind may be mixed. Records with an
/// empty response, identical pairs and ties are left out and counted. A column that may be part of the preference and
/// is not read is an error (Row::check_unread).
class RecordReader {
 public:
  /// Opens the first file and reads up to the first record that can be used, which tells kind() and shape().
  /// @throws Error{BadInput} when there is none, or what is there is not readable (see next())
  explicit RecordReader(DataFiles data);
  /// The same of rows that somebody has begun to read.
  /// @param rows  their columns outlive the reader
  RecordReader(ReaderOptions options, std::unique_ptr<RowSource> rows);
  ~RecordReader();
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  /// The next record; false at the end of the last file.
  /// @throws Error{BadInput} naming file, line, what was found and what was expected, Error{CorruptFile} for a damaged
  ///         packed file, Error{Interrupted}
  bool next(Record& record);

  RecordKind kind() const;
  Shape shape() const;  ///< of the first record
  const ReaderCounts& counts() const;
  std::uint64_t bytes_read() const;  ///< of the files

 private:
  void find_first();

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coala
