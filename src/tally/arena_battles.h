#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "tally/arena_hard.h"

namespace coala {

/// Games as battles of a model against the baseline: a decided one counts three times when the verdict is strong.
struct ArenaBattles {
  std::vector<std::string> models;          ///< sorted
  std::vector<std::size_t> model;           ///< [n], index into `models`
  std::vector<std::int64_t> question;       ///< [n]
  std::vector<std::string> question_names;  ///< [n], as the files have them
  std::vector<double> score;                ///< [n], the model's: 1, 1/2 or 0
  std::size_t questions = 0;                ///< different ones
  std::size_t without_verdict = 0;

  std::size_t size() const { return score.size(); }
};

/// In the order of the published programs, on which their draws depend: v0.1 takes a judgment's first game first, v2.0
/// its second. @throws as arena_table()
ArenaBattles arena_battles(std::span<const ArenaJudgment> judgments, ArenaVersion version);

/// Style of the model less that of the baseline, relative, with mean 0 and standard deviation 1 over the battles.
/// @return [n, features]: length, headers, lists, bold, those that are controlled for
Matrix<double> style_features(const ArenaBattles& battles, const StyleTable& styles, const ArenaSettings& settings);

}  // namespace coala
