#pragma once

#include <cstdint>

#include "core/parallel.h"
#include "features/feature_set.h"
#include "head/fit.h"
#include "head/token_head.h"
#include "head/token_weights.h"

namespace coala {

struct TokenFitSettings {
  /// The lowest held-out loss is where a head tells most for what it moves: with 50 pairs the simplest one within a
  /// standard error moves the model as far for a half to a third of it (docs/math.md, Token head).
  SelectionRule rule = SelectionRule::LowestLoss;
  int folds = 5;
  std::uint64_t seed = 0;
  double time_limit_s = 0;  ///< of both programs together; 0 for none
};

/// A convex fit of weights to sums over tokens, and how it ended.
struct TokenProgram {
  std::vector<double> weights;  ///< of the sums as they are stored
  double bias_length = 1;       ///< of the sums of tokens alone over the others: what is longer has a lighter penalty
  double bias = 0;              ///< labelled responses only
  Candidate chosen;
  std::vector<Candidate> path;
  SolveInfo info;
  Certificate certificate;
  bool cut_short = false;  ///< the time limit left penalties out
  double flops = 0;
};

struct TokenFit {
  TokenHead head;
  TokenProgram token;         ///< the weights W and a bias [r] of their own
  TokenProgram context_free;  ///< the weights a of the baseline
  bool bias_does = false;     ///< the baseline has seen through held-out pairs as well: the context adds nothing
  double reliability = 0;     ///< from 0 (a coin) to 1: by its accuracy on held-out prompts and by their number
};

/// Fits a token head to a set with token sums (docs/math.md, Token head): the Bradley-Terry loss of pairs, or the
/// logistic loss of labelled responses, of the sums' products with W and a bias of its own, and a ridge that is
/// selected on held-out prompts, lighter on the bias by as much as these say. Where the bias alone is clearly better on
/// them, the head is that. Rows of unfinished responses are left out.
/// @throws Error{BadInput} when there are no token sums
TokenFit fit_token_head(const FeatureSet& set, const TokenFitSettings& settings, ThreadPool& pool);

/// What a token program says of each response of a set: sums' products with its weights. In a set's units, so that only
/// signs and order mean something across sets.
std::vector<double> token_scores(const StoredRows& sums, const TokenProgram& program, bool context_free);

}  // namespace coala
