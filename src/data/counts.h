#pragma once

#include <cstdint>
#include <map>

#include "data/shape.h"

namespace coala {

/// What a reader has seen so far. Everything that was left out is counted under its reason.
struct ReaderCounts {
  std::uint64_t lines = 0;
  std::uint64_t blank_lines = 0;
  std::uint64_t records = 0;                ///< JSON objects of the file
  std::map<Shape, std::uint64_t> by_shape;  ///< pairs or labelled responses handed out, by the shape they came from

  std::uint64_t ties = 0;              ///< pairs left out: neither response is preferred
  std::uint64_t contradictions = 0;    ///< pairs left out: score_chosen is below score_rejected
  std::uint64_t empty = 0;             ///< records left out: a response is missing, empty or white space
  std::uint64_t identical = 0;         ///< pairs left out: both responses are the same
  std::uint64_t no_shared_prompt = 0;  ///< pairs left out: dialogues that part at a turn of the user
  std::uint64_t diverged_early = 0;    ///< pairs kept whose dialogues part before the last turn

  std::uint64_t conversations = 0;        ///< conversations read
  std::uint64_t short_conversations = 0;  ///< of these, too short to give a pair
  std::uint64_t triplets = 0;  ///< pairs made from conversations, before empty or identical ones are left out
};

}  // namespace coala
