#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/estimate.h"

namespace coala {

/// A judgment of Arena-Hard: two games of a model and the baseline, one with each in front.
struct ArenaJudgment {
  std::string model;
  std::string question;  ///< id
  /// The verdicts: in the first game the baseline is A, in the second the model. Empty: the judge gave none.
  std::array<std::string, 2> verdicts;
};

/// What style control knows of an answer: length in tokens, headers, list items, bold spans.
using Style = std::array<double, 4>;
/// By model and question.
using StyleTable = std::map<std::string, std::map<std::string, Style>>;

/// How games become battles.
enum class ArenaVersion {
  V01,  ///< baseline gpt-4-0314: Bradley-Terry, 100 draws of all battles, 2.5 to 97.5 %
  V20,  ///< baseline by category: mean score over 100 draws of each model's battles, 5 to 95 %
};

/// Which features are controlled for.
struct StyleControl {
  bool length = false;
  bool markdown = false;
  bool any() const { return length || markdown; }
};

struct ArenaSettings {
  ArenaVersion version = ArenaVersion::V01;
  std::string baseline;
  StyleControl control;
  std::uint32_t seed = 42;  ///< of the published draws: v0.1 sets 42, v2.0 sets none
};

struct ArenaScore {
  std::string model;
  double score = 0;      ///< expected win rate against the baseline, 0 to 1
  Interval published;    ///< of the published bootstrap over battles: 95 % for v0.1, 90 % for v2.0
  double plain = 0;      ///< mean score of the battles, without model or draws
  Interval clustered95;  ///< of `plain`, or of `score` with style control: questions drawn anew
  std::size_t battles = 0;
};

struct ArenaTable {
  std::vector<ArenaScore> scores;   ///< best first; the baseline is at 1/2 by definition and left out
  std::vector<double> style;        ///< coefficients of the style features, per standard deviation
  std::size_t without_verdict = 0;  ///< games (v0.1) or judgments (v2.0) that are left out
};

/// @param styles  for control alone
/// @throws Error{BadInput} for a verdict that is none, an answer without style, a feature that never varies
ArenaTable arena_table(std::span<const ArenaJudgment> judgments, const StyleTable& styles,
                       const ArenaSettings& settings);

/// The score of a verdict for A, 0 to 1, and how often it counts. Empty when it is none of the ten.
struct ArenaVerdict {
  double score_of_a = 0;
  int times = 1;
};
std::optional<ArenaVerdict> verdict_named(std::string_view label);

}  // namespace coala
