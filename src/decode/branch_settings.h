#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "core/setting.h"

namespace coala {

/// What makes the scores of a step's candidates comparable with logits.
enum class Normalisation {
  MinMax,  ///< from 0 to 1
  ZScore,  ///< mean 0, deviation 1
  Raw,     ///< as they are: the head's calibrated log-odds
};

inline constexpr std::array kNormalisations{Named{"minmax", Normalisation::MinMax},
                                            Named{"zscore", Normalisation::ZScore}, Named{"raw", Normalisation::Raw}};
constexpr const auto& names_of(Normalisation) {
  return kNormalisations;
}

/// Branch guidance: every N-th token is chosen with the head's opinion of what the text would be with it.
struct BranchSettings {
  double scale = 1.5;   ///< lambda
  int every = 5;        ///< N; the N-th, 2 N-th ... token of a reply is guided
  int candidates = 15;  ///< k
  double top_p = 0.8;
  bool score_all = false;
  Normalisation normalisation = Normalisation::MinMax;
  int look_ahead = 1;  ///< L

  /// What each is and may be, in the order in which they leave tokens out. JSON and options have other names for some:
  /// beside them are those of the draw and of the other ways of guiding.
  template <class Self, class List>
  static void list(Self& self, const List& add) {
    add(Setting{.name = "scale",
                .about = "times which a score is added to its token's logit; 0: plain steps",
                .range = {-1e6, 1e6},
                .key = "guidance_scale",
                .has_option = false},  // one for all ways of guiding
        self.scale);
    add(Setting{.name = "every",
                .about = "branch: guide every so many tokens",
                .range = {.least = 1},
                .request = Range{.most = 1 << 20},
                .key = "guide_every"},
        self.every);
    add(Setting{.name = "candidates",
                .about = "of the tokens that the filters leave, score at most so many, the most probable",
                .range = {2, 254},  // a session holds 256 sequences; the prompt and the reply are two of them
                .key = "branches",
                .option = "num-candidates",
                .has_option = false},
        self.candidates);
    add(Setting{.name = "top_p",
                .about = "branch: of these, score the most probable that have this mass at the temperature; 1: all",
                .range = {.least = 0, .most = 1, .above = true},
                .key = "branch_top_p",
                .option = "guide-top-p"},
        self.top_p);
    add(Setting{.name = "score_all",
                .about = "branch: of these, also those that the draw can no longer choose whatever their scores are"},
        self.score_all);
    add(Setting{.name = "normalisation",
                .about = "what makes scores comparable",
                .key = "normalise",
                .option = "guidance-normalise"},
        self.normalisation);
    add(Setting{.name = "look_ahead",
                .about = "score a token with this many tokens, it and the most probable ones after it",
                .range = {1, 64}},
        self.look_ahead);
  }

  /// The most by which the additions of two candidates can differ; infinite where scores have no bounds.
  double most_added() const;
};

/// Scores as they are added to logits. Equal scores are all 0 unless raw.
std::vector<double> normalised(std::span<const double> scores, Normalisation normalisation);

}  // namespace coala
