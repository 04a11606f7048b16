#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "decode/branch_settings.h"
#include "decode/logits_processor.h"
#include "decode/pooled_state.h"
#include "decode/reward_head.h"
#include "lm/sampler.h"
#include "lm/session.h"

namespace coala {

/// What a guided step drew.
struct BranchChoice {
  Token token = 0;
  bool guided = false;          ///< whether there was something to choose from, so that scores were taken
  std::optional<double> score;  ///< of the text with the token, by the head; absent when it was not scored
  std::optional<Session::Output>
      next;  ///< what follows the token, when its branch was evaluated; its logits views until the next completed()
};

/// Draws tokens with the head's opinion. The candidates are evaluated together, each as a branch of the sequence, in
/// one decode; the branch of the one that is drawn becomes the sequence, so that its own decode is done already.
///
/// The order: what Sampler::filter() does to the untilted distribution, then the scores of the k most probable
/// survivors, then temperature and draw. Where scores have bounds the random numbers come first, and only those are
/// scored, and compared, that can still be drawn with them: one that is further behind than a score can bring it
/// forward needs no branch. Survivors without a score count as the mean of the scores. A token that ends the reply
/// needs no branch: it has the score of the text so far, or the lowest of the others when there is no text yet.
class BranchStep {
 public:
  /// @param sequence  whose next token is drawn
  /// @param branches  sequences to use, as many as branches() says
  /// @param tilt      also of the look-ahead's logits; nullptr: none
  BranchStep(const Backbone& backbone, Session& session, const RewardHead& reward, const BranchSettings& settings,
             int sequence, std::vector<int> branches, const LogitsProcessor* tilt);

  /// Begins to draw the sequence's next token, which is drawn at once when there is nothing to choose from. Then
  /// prepare(), a decode and take(), for as long as is_open().
  /// @param text, sampler  the feature of the sequence so far, and what draws; they must outlive the step
  /// @param logits         of the next token; they need not outlive the call
  void begin(const PooledState& text, Sampler& sampler, std::span<const float> logits);
  bool is_open() const { return !growing_.empty(); }
  /// Appends the rows of the next decode.
  void prepare(std::vector<Session::Row>& rows) const;
  void take(std::span<const Session::Output> outputs);
  /// What was drawn. When it has a `next`, the token was appended to the sequence.
  const BranchChoice& choice() const { return choice_; }

  /// How many candidates a step has at most.
  static int branches(const Backbone& backbone, const BranchSettings& settings);

 private:
  /// A candidate, and what the sequence is with it.
  struct Branch {
    Token token = 0;
    int sequence = -1;                  ///< -1: the token ends the reply, nothing is evaluated
    Session::Output next;               ///< after the candidate
    std::optional<PooledState> pooled;  ///< with the candidate, and with what the look-ahead adds
    Session::OwnedOutput own;           ///< what `next` views when there is a look-ahead
  };
  /// A branch and the token that is to be evaluated in it.
  struct Growth {
    std::size_t branch;
    Token token;
  };
  void fork(std::span<const std::size_t> places);
  void look_ahead(std::size_t branch, const Session::Output& output);
  std::vector<double> scores() const;
  Token most_probable(const Session::Output& output);
  void end();
  void keep(Branch& branch);

  const Backbone& backbone_;
  Session& session_;
  const RewardHead& reward_;
  BranchSettings settings_;
  int sequence_;
  std::vector<int> sequences_;  ///< of the branches
  const LogitsProcessor* tilt_;
  double slope_;  ///< the head's, which makes a score log-odds

  // Of the step that is being taken.
  const PooledState* text_ = nullptr;
  Sampler* sampler_ = nullptr;
  std::span<TokenLogit> candidates_;
  std::vector<std::size_t> places_;  ///< of the candidates that are scored
  std::vector<double> lags_;         ///< of all, behind the draw; none where all are scored
  std::vector<Branch> branches_;
  std::vector<Growth> growing_;
  int evaluated_ = 0;  ///< tokens of a branch
  BranchChoice choice_;

  std::vector<float> tilted_;
  Session::OwnedOutput last_;  ///< of the last winner, with a look-ahead
};

}  // namespace coala
