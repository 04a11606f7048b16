#pragma once

#include <cstddef>
#include <memory>

#include "decode/generation_settings.h"
#include "decode/guide.h"

namespace coala {

/// A way of writing replies, and what it needs beside the prompt's and the reply's own place in the cache.
struct GuideKind {
  bool (*is_for)(const GenerationSettings& settings);
  int (*branches)(const Backbone& backbone, const GenerationSettings& settings);  ///< sequences
  /// Tokens in these sequences, for a reply of at most so many.
  std::size_t (*branch_tokens)(const Backbone& backbone, const GenerationSettings& settings, std::size_t reply_tokens);
  std::unique_ptr<Guide> (*make)(GuideParts parts);
};

/// The kind that settings ask for.
const GuideKind& guide_kind(const GenerationSettings& settings);

}  // namespace coala
