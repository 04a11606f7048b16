#include "decode/branch_guide.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <utility>

namespace coala {
namespace {

/// Indices of the `most` most probable candidates that can be drawn at all.
std::vector<std::size_t> leading(std::span<const TokenLogit> candidates, std::size_t most) {
  std::vector<std::size_t> indices(candidates.size());
  std::iota(indices.begin(), indices.end(), std::size_t{0});
  std::erase_if(indices, [&](std::size_t i) { return !std::isfinite(candidates[i].logit); });
  const auto end = indices.begin() + static_cast<std::ptrdiff_t>(std::min(most, indices.size()));
  std::partial_sort(indices.begin(), end, indices.end(), [&](std::size_t a, std::size_t b) {
    const TokenLogit& x = candidates[a];
    const TokenLogit& y = candidates[b];
    return x.logit > y.logit || (x.logit == y.logit && x.token < y.token);
  });
  indices.erase(end, indices.end());
  return indices;
}

/// How many of the leading candidates have the mass `top_p` of all in a draw at this temperature; all of them at 0,
/// where nothing is drawn and any of them may win.
std::size_t nucleus(std::span<const TokenLogit> candidates, std::span<const std::size_t> places, double temperature,
                    double top_p) {
  if (top_p >= 1 || temperature == 0) return places.size();
  const auto weight = [&](const TokenLogit& candidate) {
    return std::exp((static_cast<double>(candidate.logit) - static_cast<double>(candidates[places[0]].logit)) /
                    temperature);
  };
  double all = 0;
  for (const TokenLogit& candidate : candidates) all += weight(candidate);
  double mass = 0;
  std::size_t count = 0;
  while (count < places.size() && mass < top_p * all) mass += weight(candidates[places[count++]]);
  return count;
}

/// What each candidate's logit gets. Candidates that were not scored count as the mean of those that were: without it,
/// they would lose to the worst of those that were, or win against it.
std::vector<double> additions(std::size_t candidates, std::span<const std::size_t> places,
                              std::span<const double> scores, double scale) {
  const double mean = std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size());
  std::vector<double> added(candidates, scale * mean);
  for (std::size_t i = 0; i < places.size(); ++i) added[places[i]] = scale * scores[i];
  return added;
}

double slope_of(const Head& head) {
  const std::string slope = head.value("probability.slope");
  return slope.empty() ? 1 : std::strtod(slope.c_str(), nullptr);
}

}  // namespace

/// A candidate, and what the sequence is with it.
struct BranchGuide::Branch {
  Token token = 0;
  int sequence = -1;                  ///< -1: the token ends the reply, nothing is evaluated
  Session::Output next;               ///< after the candidate
  std::optional<PooledState> pooled;  ///< with the candidate, and with what the look-ahead adds
  Session::OwnedOutput own;           ///< what `next` views when there is a look-ahead
};

BranchGuide::BranchGuide(const Backbone& backbone, Session& session, const RewardHead& reward,
                         const BranchSettings& settings, int first_branch, const LogitTilt* tilt)
    : backbone_(backbone),
      session_(session),
      reward_(reward),
      settings_(settings),
      first_branch_(first_branch),
      tilt_(tilt),
      slope_(slope_of(*reward.head)) {
  settings.validate();
}

int BranchGuide::branches(const Backbone& backbone, const BranchSettings& settings) {
  return static_cast<int>(std::min(static_cast<std::size_t>(settings.candidates), backbone.identity().vocabulary));
}

BranchChoice BranchGuide::choose(int sequence, const PooledState& text, Sampler& sampler,
                                 std::span<const float> logits) {
  const std::span<TokenLogit> candidates = sampler.filter(logits);
  const auto most = static_cast<std::size_t>(branches(backbone_, settings_));
  std::vector<std::size_t> places = leading(candidates, most);
  places.resize(nucleus(candidates, places, sampler.temperature(), settings_.top_p));
  std::vector<double> lags;  // behind the draw; none where all are scored
  if (!settings_.score_all) {
    lags = sampler.race(candidates);
    std::erase_if(places, [&](std::size_t i) { return lags[i] > settings_.most_added(); });
  }
  BranchChoice choice;
  choice.guided = places.size() > 1;
  std::vector<Branch> grown;
  std::vector<double> raw;
  std::vector<double> added(candidates.size());
  if (choice.guided) {
    std::vector<Token> tokens;
    for (const std::size_t place : places) tokens.push_back(candidates[place].token);
    grown = grow(sequence, text, tokens);
    raw = scores(grown, text);
    std::vector<double> calibrated = raw;
    for (double& score : calibrated) score *= slope_;
    added = additions(candidates.size(), places, normalised(calibrated, settings_.normalisation), settings_.scale);
  }
  if (settings_.score_all) {
    for (std::size_t i = 0; i < candidates.size(); ++i) candidates[i].logit += static_cast<float>(added[i]);
    choice.token = sampler.draw_from(candidates);
  } else {
    for (std::size_t i = 0; i < candidates.size(); ++i) added[i] -= lags[i];
    choice.token = candidates[static_cast<std::size_t>(std::ranges::max_element(added) - added.begin())].token;
    sampler.take(choice.token);
  }
  for (std::size_t i = 0; i < grown.size(); ++i) {
    if (grown[i].token != choice.token) continue;
    choice.score = raw[i];
    if (grown[i].sequence >= 0) choice.next = keep(grown[i], sequence);
  }
  for (const Branch& branch : grown) {
    if (branch.sequence >= 0) session_.drop(branch.sequence);
  }
  return choice;
}

/// One decode for all candidates, and one for each token of the look-ahead.
std::vector<BranchGuide::Branch> BranchGuide::grow(int sequence, const PooledState& text,
                                                   std::span<const Token> tokens) {
  std::vector<Branch> branches;
  std::vector<Session::Row> rows;
  for (const Token token : tokens) {
    branches.emplace_back().token = token;
    if (backbone_.tokenizer().is_end(token)) continue;
    branches.back().sequence = first_branch_ + static_cast<int>(rows.size());
    session_.fork(sequence, branches.back().sequence);
    rows.push_back({branches.back().sequence, token});
  }
  const bool to_states = settings_.look_ahead == 1;
  const std::span<const Session::Output> outputs = to_states ? session_.step_to_states(rows) : session_.step(rows);
  std::size_t row = 0;
  for (Branch& branch : branches) {
    if (branch.sequence < 0) continue;
    branch.next = outputs[row++];
    branch.pooled = text;
    branch.pooled->add(branch.next.state);
    if (to_states) continue;
    branch.own = Session::OwnedOutput(branch.next);
    branch.next = branch.own.view();
  }
  look_ahead(branches);
  return branches;
}

/// A branch ends early where the model would end the reply and where its context is full.
void BranchGuide::look_ahead(std::vector<Branch>& branches) {
  std::vector<Branch*> growing;
  std::vector<Token> following;
  const auto go_on = [&](Branch& branch, const Session::Output& output) {
    const Token token = most_probable(output);
    const bool full = session_.length_tokens(branch.sequence) >= backbone_.identity().context_tokens;
    if (full || backbone_.tokenizer().is_end(token)) return;
    growing.push_back(&branch);
    following.push_back(token);
  };
  for (Branch& branch : branches) {
    if (settings_.look_ahead > 1 && branch.sequence >= 0) go_on(branch, branch.next);
  }
  for (int ahead = 1; ahead < settings_.look_ahead && !growing.empty(); ++ahead) {
    std::vector<Session::Row> rows;
    for (std::size_t i = 0; i < growing.size(); ++i) rows.push_back({growing[i]->sequence, following[i]});
    const std::vector<Branch*> grown = std::exchange(growing, {});
    following.clear();
    const bool last = ahead + 1 == settings_.look_ahead;
    const std::span<const Session::Output> outputs = last ? session_.step_to_states(rows) : session_.step(rows);
    for (std::size_t i = 0; i < grown.size(); ++i) {
      grown[i]->pooled->add(outputs[i].state);
      if (last) continue;
      go_on(*grown[i], outputs[i]);
    }
  }
}

Token BranchGuide::most_probable(const Session::Output& output) {
  std::span<const float> logits = output.logits;
  if (tilt_ != nullptr) {
    tilted_.assign(logits.begin(), logits.end());
    tilt_->add(output.state, tilted_, session_.threads());
    logits = tilted_;
  }
  return static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
}

/// By the head, uncalibrated.
std::vector<double> BranchGuide::scores(const std::vector<Branch>& branches, const PooledState& text) const {
  std::vector<double> scores;
  double lowest = std::numeric_limits<double>::infinity();
  for (const Branch& branch : branches) {
    const PooledState& pooled = branch.pooled ? *branch.pooled : text;
    const bool scored = !pooled.empty();
    scores.push_back(scored ? reward_.head->score(pooled.feature()) : std::numeric_limits<double>::quiet_NaN());
    if (scored) lowest = std::min(lowest, scores.back());
  }
  for (double& score : scores) {
    if (std::isnan(score)) score = std::isfinite(lowest) ? lowest : 0;
  }
  return scores;
}

/// Makes the branch, without its look-ahead, the sequence.
Session::Output BranchGuide::keep(Branch& branch, int sequence) {
  session_.truncate(branch.sequence, session_.length_tokens(sequence) + 1);
  session_.fork(branch.sequence, sequence);
  if (settings_.look_ahead == 1) return session_.completed(branch.next);
  last_ = std::move(branch.own);
  return last_.view();
}

}  // namespace coala
