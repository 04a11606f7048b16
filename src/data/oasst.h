#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/counts.h"
#include "data/ranking.h"
#include "data/record.h"
#include "data/row.h"

namespace coala {

/// A message of Open Assistant's trees with the answers to it, which people have ranked: rank 0 is the best.
struct OasstMessage {
  std::string id, parent, text, role;
  std::optional<double> rank;
};

bool is_oasst_message(const Row& row);
bool is_oasst_tree(const Row& row);

/// The messages of one tree that stand on consecutive lines, and the pairs of their ranked answers.
class OasstGroup {
 public:
  static constexpr std::size_t kMostMessages = 65536;  ///< of one tree; bounds the memory

  explicit OasstGroup(const Row& row);
  /// Adds the next message if it belongs to the tree, else returns false.
  bool add(const Row& row);
  std::vector<Pair> pairs(const Row& row, Rankings rankings, ReaderCounts& counts) const;

 private:
  std::vector<OasstMessage> messages_;
};

/// The same for a tree in one record: {"prompt": {"text", "role", "replies": [..]}}.
std::vector<Pair> read_oasst_tree(const Row& row, Rankings rankings, ReaderCounts& counts);

}  // namespace coala
