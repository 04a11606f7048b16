#pragma once

#include <cstddef>

#include "decode/engine.h"

namespace coala {

/// Replies that are written together. A decode reads all weights, and more rows share that work; from 16 rows on the
/// weights are turned over first, which few rows do not pay back.
inline constexpr int kMostStreams = 15;

/// How many replies an engine writes together, and the cells for them: as many as are of use and as memory allows. One
/// at a time where a reply has branches or continuations, which are rows enough.
EngineOptions room_for(const Backbone& backbone, const GenerationSettings& settings, std::size_t longest_prompt_tokens,
                       std::size_t most_prompts, int threads);

}  // namespace coala
