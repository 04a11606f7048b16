#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "core/safetensors.h"
#include "data/record.h"
#include "extract/feature_extractor.h"
#include "extract/provenance.h"

namespace coala {

/// Gives the next record, or false at the end. Must give the same records in the same order each time.
using PairSource = std::function<bool(Pair&)>;
using LabelledSource = std::function<bool(Labelled&)>;

struct ExtractOptions {
  FeatureSettings features;
  Dtype dtype = Dtype::F32;  ///< of the stored features: F32, F16 or BF16
  int threads = 0;           ///< 0: all cores this process may use
  bool replace = false;      ///< an output that was made from something else is replaced instead of refused
  DataIdentity data;
  /// Called after each record with what was done so far, an earlier run's work included.
  std::function<void(std::uint64_t records, std::uint64_t tokens)> on_progress;

  // Finished rows are written to the disk when there are this many of them, or after this time: what a kill can lose.
  std::size_t part_rows = 256;
  double part_s = 20;
};

struct ExtractTotals {
  FeatureCounts counts;               ///< of the whole file
  bool up_to_date = false;            ///< the file was there already
  std::uint64_t resumed_records = 0;  ///< taken over from a run that was stopped
  double seconds = 0;                 ///< of this run
  double tokens_per_second = 0;       ///< evaluated by this run; 0 when it evaluated none
  double flops = 0;                   ///< of the whole file, see evaluation_flops()
};

/// Writes the features of preference pairs or labelled responses to a feature file. The same inputs
/// give the same bytes. A run that was stopped, even by a kill, goes on where it was when it is started again; a
/// file that is there already and was made from the same inputs is left as it is.
/// @throws Error{Mismatch} when `out` was made from something else (saying what) and `replace` is off, Error{BadInput}
///   for a record that has no features (naming it) and for no records at all, Error{BadUsage} while another process
///   writes the same file, Error{Interrupted}
ExtractTotals extract_pairs(const Backbone& backbone, const PairSource& source, const std::filesystem::path& out,
                            const ExtractOptions& options);
ExtractTotals extract_labelled(const Backbone& backbone, const LabelledSource& source, const std::filesystem::path& out,
                               const ExtractOptions& options);

}  // namespace coala
