#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/shape.h"

namespace coala {

/// Why pairs, labelled responses or whole records were left out.
struct LeftOutCounts {
  std::uint64_t ties = 0;              ///< pairs: neither response is preferred
  std::uint64_t contradictions = 0;    ///< pairs: score_chosen is below score_rejected
  std::uint64_t empty = 0;             ///< a response is empty or white space
  std::uint64_t null = 0;              ///< a prompt or a response is null, or a response is missing
  std::uint64_t identical = 0;         ///< pairs: both responses are the same
  std::uint64_t no_shared_prompt = 0;  ///< pairs: dialogues that part at a turn of the user
  std::uint64_t weightless = 0;        ///< pairs: their weight is 0

  std::uint64_t short_conversations = 0;  ///< records: conversations without a second answer
  std::uint64_t alone = 0;                ///< records: a rated response without another one to the same prompt
  std::uint64_t bad = 0;                  ///< records that cannot be read (ReaderOptions::skip_bad)
  std::uint64_t unrated = 0;              ///< responses of a ranking without a place in it

  bool operator==(const LeftOutCounts&) const = default;
  /// Pairs or labelled responses; the others count records.
  std::uint64_t pairs() const {
    return ties + contradictions + empty + null + identical + no_shared_prompt + weightless;
  }
};

/// What a reader has seen so far. Everything that was left out is counted under its reason:
/// the records that are used and those that are not are all records, and the pairs of the used ones are those handed
/// out and pairs() of those left out.
struct ReaderCounts : LeftOutCounts {
  std::vector<std::string> files;  ///< as they were named
  std::uint64_t lines = 0;
  std::uint64_t blank_lines = 0;
  std::uint64_t records = 0;                ///< JSON objects of the files, or rows of a table in one
  std::uint64_t records_used = 0;           ///< of these, what something was handed out of
  std::map<Shape, std::uint64_t> by_shape;  ///< pairs or labelled responses handed out, by the shape they came from
  std::vector<std::string> bad_examples;    ///< what is wrong with the first of `bad`

  std::map<std::string, std::uint64_t, std::less<>> columns_read;     ///< records that have the column, and it was read
  std::map<std::string, std::uint64_t, std::less<>> columns_ignored;  ///< the same where it was left aside

  std::uint64_t diverged_early = 0;  ///< pairs kept whose dialogues part before the last turn
  std::uint64_t conversations = 0;   ///< conversations read
  std::uint64_t triplets = 0;        ///< pairs made from conversations, before empty or identical ones are left out
};

}  // namespace coala
