#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "extract/block_store.h"
#include "extract/feature_rows.h"
#include "extract/part_store.h"
#include "extract/window.h"

namespace coala {

/// A row of features: what it says about its record, and its numbers.
struct FeatureRow {
  const RecordRow& record;
  std::span<const float> first;        ///< features of the chosen or the labelled response
  std::span<const float> first_sums;   ///< its sums for a token head; empty: there are none
  std::span<const float> second;       ///< of the rejected response; empty for a labelled one
  std::span<const float> second_sums;  ///< as first_sums
  std::optional<float> weight;
  std::optional<std::int64_t> prefix_tokens;  ///< 0: the whole response; nothing where there are no rows of prefixes
};

/// Where the rows of an extraction go.
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void add(const FeatureRow& row) = 0;
};

/// Puts a window's rows together from its evaluated blocks.
/// @param prefix_every  tokens between the rows of a response; 0: whole responses only
void add_rows(const Window& window, const BlockStore& store, const FeatureWidths& widths, std::size_t prefix_every,
              RowSink& sink);

/// To the part files of an output.
class FileRows : public RowSink {
 public:
  FileRows(FeatureKind kind, Dtype dtype, const FeatureWidths& widths, PartStore& parts);
  void add(const FeatureRow& row) override;
  /// Writes what is left, at the end of a window.
  void flush();

 private:
  FeatureRows rows_;
  PartStore& parts_;
};

/// To memory.
class MemoryRows : public RowSink {
 public:
  MemoryRows(FeatureKind kind, std::size_t dimension) : dimension_(dimension) { set_.kind = kind; }
  void add(const FeatureRow& row) override;
  /// The rows, without a description.
  FeatureSet take();
  std::vector<std::string>& ids() { return ids_; }  ///< of the records, one per row

 private:
  std::size_t dimension_;
  FeatureSet set_;
  std::vector<std::string> ids_;
  AlignedVector<float> first_, second_;
  bool with_subset_ = false;
  bool weighted_ = false;
  bool with_margin_ = false;
};

}  // namespace coala
