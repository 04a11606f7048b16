#pragma once

#include <cstddef>
#include <string>

#include "core/progress.h"

namespace coala {

/// "45s", "3m05s", "2h07m".
std::string duration_text(double seconds);

/// What is left, no more exactly than it is known: to 5 s above 20 s, to 1 min above 10 min, to 5 min above 1 h.
std::string time_left_text(double seconds);

/// A speed in units that say something: "236 tokens/s", "2.4 prompts/s", "40s/prompt".
/// @param unit  in the plural
std::string rate_text(double per_second, const std::string& unit);

/// A stage in one line, without line break.
/// @param columns  what the line may take at most, 20 or more: what matters least is left out. 0: no limit
/// @param bar      whether a bar is drawn where there is room
std::string progress_text(const ProgressState& state, std::size_t columns, bool bar);

}  // namespace coala
