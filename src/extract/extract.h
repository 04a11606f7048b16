#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "core/safetensors.h"
#include "data/record.h"
#include "extract/parallel_extractor.h"
#include "extract/provenance.h"

namespace coala {

/// Gives the next record, or false at the end. Must give the same records in the same order each time.
using PairSource = std::function<bool(Pair&)>;
using LabelledSource = std::function<bool(Labelled&)>;

/// How far an extraction is, in tokens that the model evaluates.
struct ExtractProgress {
  std::uint64_t tokens = 0;    ///< evaluated so far, by whomever
  std::uint64_t at_once = 0;   ///< of them those that this run found, or had only to read
  std::uint64_t expected = 0;  ///< an estimate of all
};

struct ExtractOptions {
  FeatureSettings features;
  Dtype dtype = Dtype::F32;  ///< of the stored features: F32, F16 or BF16
  /// Above 0: the output is a folder of files with at most as many bytes of numbers, see FeatureIndex.
  std::uint64_t max_file_bytes = 0;
  int threads = 0;  ///< 0: all cores this process may use
  /// Above 0: sums for a token head of this rank as well (extract_file() sets them up).
  std::size_t token_rank = 0;
  std::shared_ptr<const TokenBasis> token_basis;      ///< whose coordinates they are in; null: one of their own
  std::shared_ptr<const OutputMatrix> output;         ///< the model's, if it is at hand
  std::shared_ptr<const TokenProjection> projection;  ///< what makes them; null: none
  std::shared_ptr<const KeptStates> kept_states;      ///< of blocks that need no evaluation; null: none
  bool skip_bad = false;  ///< records that the model cannot take are left out instead of thrown (ExtractTotals)
  bool replace = false;   ///< an output that was made from something else is replaced instead of refused
  DataIdentity data;
  std::uint64_t records_expected = 0;                       ///< for on_progress, 0 when not known
  std::function<void(const ExtractProgress&)> on_progress;  ///< called now and then, one call at a time
  Shard shard;  ///< count > 1: this process evaluates a part, see extract_pairs()
};

struct ExtractTotals {
  FeatureCounts counts;                          ///< of the whole file
  std::vector<LeftOutRecord> left_out;           ///< of the whole file; without reasons when it was up to date
  bool up_to_date = false;                       ///< the file was there already
  std::uint64_t resumed_tokens = 0;              ///< evaluated by a run that was stopped, or by other shards
  std::uint64_t evaluated_tokens = 0;            ///< by this run
  std::vector<std::uint32_t> unfinished_shards;  ///< others than this one; of a shard's run
  double seconds = 0;                            ///< of this run
  double tokens_per_second = 0;                  ///< evaluated by this run; 0 when it evaluated none
  double flops = 0;                              ///< of the whole file, see evaluation_flops()
};

/// Writes the features of preference pairs or labelled responses to a feature file or a folder of them. The same inputs
/// give the same bytes. A run that was stopped, even by a kill, goes on where it was when it is started again; a
/// file that is there already and was made from the same inputs is left as it is.
///
/// With a shard, the process evaluates its part of the blocks and keeps it beside the output ("<out>.shard-1-of-4").
/// A run without a shard takes over what shards have done, evaluates what is missing, and writes the same bytes as if
/// it had done all.
/// @throws Error{Mismatch} when `out` was made from something else (saying what) and `replace` is off, Error{BadInput}
///   for a record that has no features (naming it, unless it may be left out) and for no records at all,
///   Error{BadUsage} while another process writes the same file, Error{Interrupted}
ExtractTotals extract_pairs(const Backbone& backbone, const PairSource& source, const std::filesystem::path& out,
                            const ExtractOptions& options);
ExtractTotals extract_labelled(const Backbone& backbone, const LabelledSource& source, const std::filesystem::path& out,
                               const ExtractOptions& options);

}  // namespace coala
