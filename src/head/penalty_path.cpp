#include "head/penalty_path.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace coala {

Judged::const_iterator lowest(const Judged& judged) {
  return std::ranges::min_element(judged, {}, [](const auto& point) { return point.second.candidate.held_out_loss; });
}

std::optional<int> next_point(const Judged& judged, SelectionRule rule, const PathWalk& walk) {
  const auto least = lowest(judged);
  const auto& [first, strongest] = *judged.begin();
  const int last = judged.rbegin()->first;
  const auto above = static_cast<int>(std::distance(least, judged.end())) - 1;
  if (above < walk.turned && last + walk.stride < walk.length) return last + walk.stride;
  const Candidate& best = least->second.candidate;
  const bool may_be_stronger = rule == SelectionRule::OneStandardError &&
                               strongest.candidate.held_out_loss <= best.held_out_loss + best.held_out_error;
  if ((least->first == first || may_be_stronger) && first >= walk.stride) return first - walk.stride;
  return std::nullopt;
}

HeldOut take_by(SelectionRule rule, Judged judged) {
  const HeldOut& best = lowest(judged)->second;
  const double within = rule == SelectionRule::LowestLoss
                            ? best.candidate.held_out_loss
                            : best.candidate.held_out_loss + best.candidate.held_out_error;
  return std::move(std::ranges::find_if(judged, [within](const auto& point) {
                     return point.second.candidate.held_out_loss <= within;
                   })->second);
}

}  // namespace coala
