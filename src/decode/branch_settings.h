#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace coala {

/// What makes the scores of a step's candidates comparable with logits.
enum class Normalisation {
  MinMax,  ///< from 0 to 1
  ZScore,  ///< mean 0, deviation 1
  Raw,     ///< as they are: the head's calibrated log-odds
};

/// Branch guidance: every N-th token is chosen with the head's opinion of what the text would be with it.
struct BranchSettings {
  double scale = 1.5;      ///< lambda, times which a score is added to its token's logit; 0: plain steps
  int every = 5;           ///< N; the N-th, 2 N-th ... token of a reply is guided
  int candidates = 15;     ///< k: of the tokens that the filters leave, score at most so many, the most probable
  double top_p = 0.8;      ///< of these, score the most probable that have this mass in the draw; in (0, 1], 1: all
  bool score_all = false;  ///< of these, also those that the draw cannot choose any more whatever their scores are
  Normalisation normalisation = Normalisation::MinMax;
  int look_ahead = 1;  ///< L: tokens that are scored, the candidate and L - 1 greedy ones after it

  /// @throws Error{BadUsage} naming the option, its value and its range
  void validate() const;

  /// The most by which the additions of two candidates can differ; infinite where scores have no bounds.
  double most_added() const;
};

/// Scores as they are added to logits. Equal scores are all 0 unless raw.
std::vector<double> normalised(std::span<const double> scores, Normalisation normalisation);

}  // namespace coala
