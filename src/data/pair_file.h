#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "coala/records.h"

namespace coala {

/// JSON lines to which pairs are added as they come, by several programs perhaps.
class PairFile {
 public:
  explicit PairFile(std::string path) : path_(std::move(path)) {}

  /// The largest number of a pair with the id "PREFIX NUMBER" (without the space); 0: there is none. Read anew each
  /// time.
  /// @throws Error{Mismatch} when the file holds something else, to which no pair is to be added
  std::size_t last_number(std::string_view prefix) const;
  /// Adds all of the pairs, or nothing. @throws Error{Io}
  void append(std::span<const Pair> pairs) const;

 private:
  std::string path_;
};

}  // namespace coala
