#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/random.h"

namespace coala {

/// A comparison that says itself which reply is to be chosen: whoever reads it answers it rightly.
struct AttentionCheck {
  std::string prompt;
  std::vector<std::string> replies;  ///< the first is the right one
};

constexpr std::size_t kMostAttentionChecks = 12;

/// So many checks of so many replies each, no two alike.
/// @param count  up to kMostAttentionChecks
std::vector<AttentionCheck> attention_checks(std::size_t count, std::size_t replies, Random& random);

}  // namespace coala
