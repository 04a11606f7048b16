#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "extract/feature_rows.h"
#include "extract/provenance.h"

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

/// Finished rows of an output that is not complete yet: "<out>.parts/part-00000.safetensors" and so on. A part appears
/// whole or not at all, and holds rows that follow those of the part before it; how many depends on when it was
/// written, and the merged file does not depend on it.
class PartStore {
 public:
  /// Takes over the parts there are, as far as they belong to this output (same fingerprint, no gap, not damaged), and
  /// removes the others.
  PartStore(std::filesystem::path out, const Metadata& description, std::vector<FeatureColumn> columns);

  std::uint64_t rows() const { return rows_; }
  const FeatureCounts& counts() const { return counts_; }

  void write(const FeatureRows& rows, const FeatureCounts& counts);
  /// Writes the output from the parts and removes them.
  void merge(Metadata metadata);

 private:
  std::filesystem::path part_path(std::size_t index) const;
  bool take_over(const std::filesystem::path& path);

  std::filesystem::path out_;
  std::filesystem::path folder_;
  std::string fingerprint_;
  std::vector<FeatureColumn> columns_;
  std::vector<std::filesystem::path> parts_;
  std::vector<bool> present_;  ///< per column
  std::uint64_t rows_ = 0;
  FeatureCounts counts_;
};

}  // namespace coala
