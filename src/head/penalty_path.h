#pragma once

#include <cstddef>
#include <map>
#include <optional>

#include "head/held_out.h"

namespace coala {

/// Of fewer rows the held-out loss may have several minima, and fits cost next to nothing: paths begin at their strong
/// end, so that the strongest penalty that does as well is seen.
inline constexpr std::size_t kFewRows = 1024;

/// Whether the minimum of a path is what counts, or a point near it from which the search goes on with more rows.
enum class PathSearch { Close, Coarse };

/// Points of a path that have been judged, by their place on it, the strongest penalty first.
using Judged = std::map<int, HeldOut>;

/// The point with the lowest loss.
Judged::const_iterator lowest(const Judged& judged);

/// How a path is gone along.
struct PathWalk {
  int length;
  int stride;
  int turned;  ///< points above the lowest that end it on the side of weaker penalties
};

/// The next point to judge around the lowest loss: weaker than all until enough of them lie above it, then stronger
/// than all when the strongest has the lowest loss, or is within a standard error of it and the rule asks. None when
/// the minimum is found.
std::optional<int> next_point(const Judged& judged, SelectionRule rule, const PathWalk& walk);

/// Of judged points, the one that the rule takes.
HeldOut take_by(SelectionRule rule, Judged judged);

}  // namespace coala
