#pragma once

#include <optional>
#include <span>
#include <vector>

#include "decode/branch_settings.h"
#include "decode/logit_tilt.h"
#include "decode/pooled_state.h"
#include "decode/reward_head.h"
#include "lm/sampler.h"
#include "lm/session.h"

namespace coala {

/// What a guided step drew.
struct BranchChoice {
  Token token = 0;
  bool guided = false;                  ///< whether there was something to choose from, so that scores were taken
  std::optional<double> score;          ///< of the text with the token, by the head; absent when it was not scored
  std::optional<Session::Output> next;  ///< what follows the token, when its branch was evaluated; views as step()'s
};

/// Draws tokens with the head's opinion. The candidates are evaluated together, each as a branch of the sequence, in
/// one decode; the branch of the one that is drawn becomes the sequence, so that its own decode is done already.
///
/// The order: what Sampler::filter() does to the untilted distribution, then the scores of the k most probable
/// survivors, then temperature and draw. Where scores have bounds the random numbers come first, and only those are
/// scored, and compared, that can still be drawn with them: one that is further behind than a score can bring it
/// forward needs no branch. Survivors without a score count as the mean of the scores. A token that ends the reply
/// needs no branch: it has the score of the text so far, or the lowest of the others when there is no text yet.
class BranchGuide {
 public:
  /// @param first_branch  sequences of the session from this on are free for branches
  /// @param tilt          also of the look-ahead's logits; nullptr: none
  BranchGuide(const Backbone& backbone, Session& session, const RewardHead& reward, const BranchSettings& settings,
              int first_branch, const LogitTilt* tilt);

  /// Draws the next token of a sequence. When `next` comes back, the token was appended to it.
  /// @param text    the feature of the sequence so far
  /// @param logits  of the next token; they need not outlive the branches' evaluation
  BranchChoice choose(int sequence, const PooledState& text, Sampler& sampler, std::span<const float> logits);

  /// How many candidates a step has at most.
  static int branches(const Backbone& backbone, const BranchSettings& settings);

 private:
  struct Branch;
  std::vector<Branch> grow(int sequence, const PooledState& text, std::span<const Token> tokens);
  void look_ahead(std::vector<Branch>& branches);
  std::vector<double> scores(const std::vector<Branch>& branches, const PooledState& text) const;
  Token most_probable(const Session::Output& output);
  Session::Output keep(Branch& branch, int sequence);

  const Backbone& backbone_;
  Session& session_;
  const RewardHead& reward_;
  BranchSettings settings_;
  int first_branch_;
  const LogitTilt* tilt_;
  double slope_;  ///< the head's, which makes a score log-odds
  std::vector<float> tilted_;
  Session::OwnedOutput last_;  ///< of the last winner, with a look-ahead
};

}  // namespace coala
