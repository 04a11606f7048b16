#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "extract/feature_rows.h"
#include "extract/provenance.h"
#include "features/token_basis.h"

namespace coala {

/// Keeps other processes from writing the same output: an exclusive lock on "<out>.lock", released by the destructor
/// (and by the system when the process dies).
class OutputLock {
 public:
  /// @throws Error{BadUsage} when another process holds it, Error{Io} when the folder cannot be written
  explicit OutputLock(const std::filesystem::path& out);
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

/// Rows on their way to an output that is stored column by column: "<out>.parts/part-00000.safetensors" and so on, put
/// together at the end. What a part holds does not matter for the output.
class PartStore {
 public:
  /// Removes what an earlier run left.
  /// @param constants  tensors that every file gets beside the rows, in the order of their names; they outlive this
  PartStore(std::filesystem::path out, std::vector<FeatureColumn> columns, std::vector<FileTensor> constants);

  std::uint64_t rows() const { return rows_; }
  void write(const FeatureRows& rows);
  /// Writes the output from the parts: a file, or with `max_file_bytes` above 0 a folder of files with at most as many
  /// bytes of numbers (at least a row) and an index, which appears as a whole in place of what has that name.
  void merge(const Metadata& metadata, std::uint64_t max_file_bytes);

  /// Where the parts are, and other files of an unfinished output.
  static std::filesystem::path folder(const std::filesystem::path& out);
  /// Makes the folder. @throws Error{Io}
  static void create_folder(const std::filesystem::path& out);
  /// What is evaluated is logged there under this name.
  static constexpr std::string_view kBlocks = "blocks";
  /// Removes our files from the folder, and the folder unless there is something else.
  static void remove_folder(const std::filesystem::path& out);

 private:
  struct Part {
    std::filesystem::path path;
    std::uint64_t first = 0;  ///< row
    std::uint64_t rows = 0;
  };
  using Visitor = std::function<void(std::span<const std::byte> bytes)>;

  /// The bytes of a column in rows [first, first + rows), piece by piece.
  void visit(const FeatureColumn& column, std::uint64_t first, std::uint64_t rows, const Visitor& visitor) const;
  std::string checksum(std::uint64_t first, std::uint64_t rows) const;
  /// Writes a feature file of some of the rows. @returns its checksum
  std::string write_rows(const std::filesystem::path& path, Metadata metadata, std::uint64_t first,
                         std::uint64_t rows) const;
  void write_folder(const Metadata& metadata, std::uint64_t max_file_bytes) const;

  std::filesystem::path out_;
  std::vector<FeatureColumn> columns_;
  std::vector<FileTensor> constants_;
  std::vector<Part> parts_;
  std::vector<bool> present_;  ///< per column
  std::uint64_t rows_ = 0;
};

}  // namespace coala
