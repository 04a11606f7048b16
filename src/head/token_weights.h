#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "core/matrix.h"
#include "features/token_basis.h"

namespace coala {

/// The root mean square of q, without what the model expects of it, over the tokens of the training data at scale 1: so
/// scale 1 moves the model by about an eighth of a nat per token (KL divergence, to the second order).
inline constexpr double kTokenUnit = 0.5;

/// How far guidance may move a model from itself, when the head is sure of all that it says: the Kullback-Leibler
/// divergence per token, as a share of the entropy of the model's own next-token distributions. A model that is sure of
/// its words (1.5 of them at a time) breaks at a divergence that one with a choice of seven does not notice
/// (docs/guidance.md, The scale).
inline constexpr double kGuidanceBudget = 0.1;

/// How long the sums of tokens alone are made, over those of tokens in their context: what is longer has the lighter
/// penalty. Tried one after the other.
inline constexpr std::array kBiasLengths{1.0, 4.0};

/// How far a head can be relied on, 0 to 1: 2 a - 1 for its accuracy a on prompts that it has not seen, pulled towards
/// a coin's by as much as fifty prompts weigh: of what so few say half is chance.
double reliability_of(double accuracy, std::size_t prompts);

/// What a head gets of the budget: as much of it as the head can be relied on, and a quarter in any case. Chance moves
/// a model as far as what was meant, and leads to loops (docs/benchmarks.md, Eight rules).
double budget_share(double reliability);

/// The root mean square of what weights say of the tokens of the basis' sample, without what the model expects of it.
/// @param weights  [r r + r] of both kinds of sums, or [r] of tokens alone
double sample_strength(const TokenBasis& basis, std::span<const double> weights);

/// W [r, r] of weights [r r + r], the bias in it: it becomes the direction of W that says the same of all typical
/// states, since a bias on the vocabulary is no change of the output matrix.
/// @param strength  that W is to have on the sample
Matrix<float> head_weights(const TokenBasis& basis, std::span<const double> weights, double strength);

}  // namespace coala
