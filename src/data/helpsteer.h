#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data/counts.h"
#include "data/record.h"
#include "data/row.h"

namespace coala {

/// The responses to one prompt in a HelpSteer file, where they stand on consecutive lines, and the pairs they give:
/// one for each two responses with different totals, the margin being the difference.
///
/// The total is helpfulness + correctness + coherence. Complexity and verbosity are left out: they describe a style
/// and are not better when they are higher; a total with verbosity would teach a head to like long answers.
class HelpSteerGroup {
 public:
  static constexpr std::size_t kMostResponses = 64;  ///< bounds the memory; the published files have 2 to 4

  /// @throws Error{BadInput} when an attribute is missing or not in 0..4
  explicit HelpSteerGroup(const Row& row);
  /// Adds the next record if it answers the same prompt, else returns false.
  bool add(const Row& row);
  /// The next pair; false when there is none left. Ties are counted.
  bool next(Pair& pair, ReaderCounts& counts);
  std::size_t size() const { return responses_.size(); }

 private:
  struct Response {
    std::string text;
    double total;
  };
  void append(const Row& row);

  std::string id_;
  std::string prompt_;
  std::vector<Response> responses_;
  std::size_t first_ = 0;  ///< the two responses to compare next
  std::size_t second_ = 1;
  int pairs_ = 0;
};

}  // namespace coala
