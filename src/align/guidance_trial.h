#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/record.h"
#include "extract/feature_settings.h"
#include "head/token_head.h"
#include "head/token_weights.h"
#include "lm/backbone.h"
#include "lm/output_matrix.h"

namespace coala {

/// Says how good replies to these prompts are, a mark for each; more is better, and NaN no opinion.
using ReplyMarks =
    std::function<std::vector<double>(std::span<const Prompt> prompts, std::span<const std::string> replies)>;

struct GuidanceTrialSettings {
  double budget = kGuidanceBudget;  ///< share of the model's entropy
  double reliability = 1;           ///< of the head, see budget_share()
  TemplateMode template_mode = TemplateMode::Model;
  std::uint64_t seed = 0;
  int threads = 0;
  ReplyMarks judge = {};  ///< a scale whose replies it clearly likes less than the model's own is too strong; or none
  /// What is wanted, in words: replies are written as well with that in the system message instead of the head. "":
  /// none
  std::string wish = {};
  ReplyMarks reward = {};  ///< the reward head, which compares those with it and the head's where there is no judge
};

/// Replies that were written at one scale.
struct GuidedReplies {
  double scale = 0;                        ///< of the head as it is; 0: unguided
  double divergence = 0;                   ///< from the model as it is, nats per token, mean
  double entropy = 0;                      ///< of the model as it is, nats per token, mean
  double repetition = 0;                   ///< share of runs of four tokens that stood in the same reply before
  std::vector<std::string> texts;          ///< one of each prompt, with an ellipsis where the trial's limit cut it
  std::vector<std::vector<Token>> tokens;  ///< of all replies
  std::vector<double> marks;               ///< of the texts; empty where there is no judge
  std::vector<double> scores;              ///< of the texts by the reward head; empty where it was not asked
};

/// How much better replies to the same prompts are than others: by the judge, or where there is none by the reward
/// head.
struct Ahead {
  double mean = 0;
  double low = 0, high = 0;  ///< Student's 95 % interval over the prompts
  std::size_t prompts = 0;
};
/// @return  nothing where there are not two prompts of whose replies one of them has an opinion
std::optional<Ahead> ahead_of(const GuidedReplies& replies, const GuidedReplies& others);

/// How strongly a token head may guide, found out by writing.
struct GuidanceTrial {
  double budget = 0;            ///< that was kept to, nats per token
  double scale = 0;             ///< the largest one within it, of those that were tried or computed from them
  std::vector<Prompt> prompts;  ///< that replies were written to, in their order
  GuidedReplies unguided;
  std::optional<GuidedReplies> asked;  ///< unguided too, with the wish in the system message
  std::vector<GuidedReplies> tried;
  std::size_t chosen = 0;            ///< among those: at this scale, or the last, which was stronger
  std::vector<std::string> raised;   ///< words of the replies that the head raises, the most first
  std::vector<std::string> lowered;  ///< and those that it lowers
};

/// Writes short replies to some of the prompts, unguided and at a few scales, and finds the largest scale at which the
/// model is moved by no more than the budget, does not repeat itself more than without, and is not marked down by the
/// judge, if there is one (Student's 95 % interval of the prompts' differences). What a head says at a scale
/// is known only to the second order beforehand, and not what comes of it: guided tokens lead to other states.
/// @param mean_state  U'h of typical tokens, mean, [r]: what the head says there of a word is told
/// @param prompts     that the head was not trained on; those that cannot be answered are left out
/// @return  nothing tried where no prompt can be answered, or the model's distributions leave no choice at all
/// @throws Error{Interrupted}
GuidanceTrial try_guidance(const Backbone& backbone, const TokenHead& head, const OutputMatrix& output,
                           std::span<const double> mean_state, std::span<const Prompt> prompts,
                           const GuidanceTrialSettings& settings);

}  // namespace coala
