#pragma once

#include <functional>
#include <vector>

#include "core/deadline.h"
#include "core/progress.h"
#include "head/network.h"

namespace coala {

/// Of the time limit, for the fit of one of the paper's programs on all rows; the folds share the rest.
inline constexpr double kAllRowsShare = 0.5;

/// The networks of the folds, one after the other; none when there is no time for all of them.
/// @param fit  fits a fold until its deadline. @throws Late
inline void fit_published_folds(int folds, const Deadline& deadline, Progress& progress, std::vector<Network>& networks,
                                const std::function<Network(int fold, const Deadline& own)>& fit) {
  for (int fold = 0; fold < folds; ++fold) {
    try {
      networks.push_back(fit(fold, deadline.share(1.0 / (folds - fold))));
    } catch (const Late&) {
      networks.clear();
      return;
    }
    progress.advance(1);
  }
}

}  // namespace coala
