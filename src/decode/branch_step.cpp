#include "decode/branch_step.h"

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

BranchStep::BranchStep(const Backbone& backbone, Session& session, const RewardHead& reward,
                       const BranchSettings& settings, int sequence, std::vector<int> branches,
                       const LogitsProcessor* tilt)
    : backbone_(backbone),
      session_(session),
      reward_(reward),
      settings_(settings),
      sequence_(sequence),
      sequences_(std::move(branches)),
      tilt_(tilt),
      slope_(slope_of(*reward.head)) {
  check_settings(settings);
}

int BranchStep::branches(const Backbone& backbone, const BranchSettings& settings) {
  return static_cast<int>(std::min(static_cast<std::size_t>(settings.candidates), backbone.identity().vocabulary));
}

void BranchStep::begin(const PooledState& text, Sampler& sampler, std::span<const float> logits) {
  text_ = &text;
  sampler_ = &sampler;
  choice_ = {};
  lags_.clear();
  candidates_ = sampler.filter(logits);
  places_ = leading(candidates_, static_cast<std::size_t>(branches(backbone_, settings_)));
  places_.resize(nucleus(candidates_, places_, sampler.temperature(), settings_.top_p));
  if (!settings_.score_all) {
    lags_ = sampler.race(candidates_);
    std::erase_if(places_, [&](std::size_t i) { return lags_[i] > settings_.most_added(); });
  }
  choice_.guided = places_.size() > 1;
  if (choice_.guided) fork(places_);
  if (growing_.empty()) end();
}

/// Makes a branch for each candidate.
void BranchStep::fork(std::span<const std::size_t> places) {
  evaluated_ = 0;
  for (const std::size_t place : places) {
    Branch& branch = branches_.emplace_back();
    branch.token = candidates_[place].token;
    if (backbone_.tokenizer().is_end(branch.token)) continue;
    branch.sequence = sequences_[growing_.size()];
    session_.fork(sequence_, branch.sequence);
    growing_.push_back({branches_.size() - 1, branch.token});
  }
}

void BranchStep::prepare(std::vector<Session::Row>& rows) const {
  const bool is_last = evaluated_ + 1 == settings_.look_ahead;  // only the winner's logits are of use then
  for (const Growth& growth : growing_) {
    rows.push_back({branches_[growth.branch].sequence, growth.token, !is_last});
  }
}

void BranchStep::take(std::span<const Session::Output> outputs) {
  const std::vector<Growth> grown = std::exchange(growing_, {});
  const bool is_first = evaluated_++ == 0;
  for (std::size_t i = 0; i < grown.size(); ++i) {
    Branch& branch = branches_[grown[i].branch];
    if (is_first) {
      branch.pooled = *text_;
      branch.next = outputs[i];
      if (settings_.look_ahead > 1) {
        branch.own = Session::OwnedOutput(outputs[i]);
        branch.next = branch.own.view();
      }
    }
    branch.pooled->add(outputs[i].state);
    if (evaluated_ < settings_.look_ahead) look_ahead(grown[i].branch, outputs[i]);
  }
  if (growing_.empty()) end();
}

/// A branch ends early where the model would end the reply and where its context is full.
void BranchStep::look_ahead(std::size_t branch, const Session::Output& output) {
  const Token token = most_probable(output);
  const bool full = session_.length_tokens(branches_[branch].sequence) >= backbone_.identity().context_tokens;
  if (!full && !backbone_.tokenizer().is_end(token)) growing_.push_back({branch, token});
}

Token BranchStep::most_probable(const Session::Output& output) {
  std::span<const float> logits = output.logits;
  if (tilt_ != nullptr) {
    tilted_.assign(logits.begin(), logits.end());
    tilt_->add(output.state, 1, tilted_, session_.threads());
    logits = tilted_;
  }
  return static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
}

/// By the head, uncalibrated.
std::vector<double> BranchStep::scores() const {
  std::vector<double> scores;
  double lowest = std::numeric_limits<double>::infinity();
  for (const Branch& branch : branches_) {
    const PooledState& pooled = branch.pooled ? *branch.pooled : *text_;
    const bool scored = !pooled.empty();
    scores.push_back(scored ? reward_.head->score(pooled.feature()) : std::numeric_limits<double>::quiet_NaN());
    if (scored) lowest = std::min(lowest, scores.back());
  }
  for (double& score : scores) {
    if (std::isnan(score)) score = std::isfinite(lowest) ? lowest : 0;
  }
  return scores;
}

/// Draws, when all that can be known of the candidates is.
void BranchStep::end() {
  std::vector<double> added(candidates_.size());
  const std::vector<double> raw = scores();
  if (choice_.guided) {
    std::vector<double> calibrated = raw;
    for (double& score : calibrated) score *= slope_;
    added = additions(candidates_.size(), places_, normalised(calibrated, settings_.normalisation), settings_.scale);
  }
  if (settings_.score_all) {
    for (std::size_t i = 0; i < candidates_.size(); ++i) candidates_[i].logit += static_cast<float>(added[i]);
    choice_.token = sampler_->draw_from(candidates_);
  } else {
    for (std::size_t i = 0; i < candidates_.size(); ++i) added[i] -= lags_[i];
    choice_.token = candidates_[static_cast<std::size_t>(std::ranges::max_element(added) - added.begin())].token;
    sampler_->take(choice_.token);
  }
  for (std::size_t i = 0; i < branches_.size(); ++i) {
    if (branches_[i].token != choice_.token) continue;
    choice_.score = raw[i];
    if (branches_[i].sequence >= 0) keep(branches_[i]);
  }
  for (const Branch& branch : branches_) {
    if (branch.sequence >= 0) session_.drop(branch.sequence);
  }
  branches_.clear();
}

/// Makes the branch, without its look-ahead, the sequence.
void BranchStep::keep(Branch& branch) {
  session_.truncate(branch.sequence, session_.length_tokens(sequence_) + 1);
  session_.fork(branch.sequence, sequence_);
  if (settings_.look_ahead == 1) {
    choice_.next = session_.completed(branch.next);
    return;
  }
  last_ = std::move(branch.own);
  choice_.next = last_.view();
}

}  // namespace coala
