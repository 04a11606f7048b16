#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/length_statistics.h"
#include "data/reader.h"

namespace coala {

struct PrepareOptions {
  DataFiles data;
  std::filesystem::path out;       ///< JSON lines of Shape::Coala; gzip when it ends in .gz
  std::filesystem::path eval_out;  ///< empty: no split
  double eval_fraction = 0.1;      ///< of the prompts, in (0, 1); used when there is an eval_out
  std::uint64_t seed = 0;          ///< of the split
};

/// What was read, written and noticed.
struct PrepareReport {
  RecordKind kind = RecordKind::Pair;
  ReaderCounts counts;
  std::uint64_t written = 0;
  std::uint64_t written_eval = 0;
  std::uint64_t prompts = 0;           ///< different ones
  std::uint64_t without_prompt = 0;    ///< records
  std::uint64_t repeated_prompts = 0;  ///< records whose prompt another record before them has
  std::uint64_t duplicates = 0;        ///< records that repeat another one (prompt and responses); they are kept
  std::uint64_t contradicted = 0;      ///< pairs that another one holds the other way round; they are kept
  std::uint64_t positive = 0;          ///< labelled responses that are good
  LengthStatistics prompt;             ///< characters; of a conversation all its turns together
  LengthStatistics chosen;             ///< of pairs
  LengthStatistics rejected;           ///< of pairs
  LengthStatistics response;           ///< of labelled responses
  std::uint64_t chosen_longer = 0;     ///< pairs, in characters
  std::uint64_t equally_long = 0;
};

/// Converts preferences of any shape to Shape::Coala, reading and writing record by record. Memory: 16 bytes per record
/// for finding what occurs twice (64-bit hashes; among ten million records the chance of one false alarm is 1 in
/// 370,000). The output files appear when all is done.
/// @throws Error{BadUsage} for options that contradict each other, what RecordReader and RecordWriter throw, and
///         Error{BadInput} when one side of the split gets nothing
PrepareReport prepare(const PrepareOptions& options);

/// The accuracy of "the longer response is better", ties half: what any head must beat. 0 without pairs.
double longer_wins(const PrepareReport& report);

}  // namespace coala
