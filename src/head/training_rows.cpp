#include "head/training_rows.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

/// Folds by a hash of the prompt: a prompt's rows share a fold, and adding rows moves no other prompt.
std::vector<int> folds_by_prompt(const FeatureSet& set, int folds, std::uint64_t seed) {
  std::vector<int> fold(set.rows());
  std::vector<bool> used(static_cast<std::size_t>(folds));
  for (std::size_t i = 0; i < fold.size(); ++i) {
    fold[i] = static_cast<int>(hash64(std::to_string(set.prompt_id[i]), seed) % static_cast<std::uint64_t>(folds));
    used[static_cast<std::size_t>(fold[i])] = true;
  }
  if (std::count(used.begin(), used.end(), true) >= 2) return fold;

  // A handful of prompts may all fall into one fold: deal them out instead.
  std::vector<std::int64_t> prompts = set.prompt_id;
  std::sort(prompts.begin(), prompts.end());
  prompts.erase(std::unique(prompts.begin(), prompts.end()), prompts.end());
  if (prompts.size() < 2) {
    throw Error(ErrorCode::BadInput,
                "the training data " + set.path + " has a single prompt: nothing can be held out to select with",
                "add pairs of at least one more prompt");
  }
  for (std::size_t i = 0; i < fold.size(); ++i) {
    const auto at = std::lower_bound(prompts.begin(), prompts.end(), set.prompt_id[i]) - prompts.begin();
    fold[i] = static_cast<int>(at % folds);
  }
  return fold;
}

}  // namespace

TrainingRows::TrainingRows(const FeatureSet& set, const FeatureTransform& transform, Loss loss, int folds,
                           std::uint64_t seed) {
  targets_.loss = loss;
  const std::vector<int> fold = folds_by_prompt(set, folds, seed);
  const std::vector<float> weight = set.weight.empty() ? std::vector<float>(set.rows(), 1.0f) : set.weight;
  if (set.kind == FeatureKind::Labelled) {
    if (loss == Loss::BradleyTerry) {
      throw Error(ErrorCode::BadUsage, "the Bradley-Terry loss needs preference pairs; " + set.path + " has labels",
                  "use --loss logistic");
    }
    plus_ = set.features;
    targets_.labels.assign(set.labels.begin(), set.labels.end());
    targets_.weights = weight;
    fold_ = fold;
  } else {
    plus_ = set.chosen;
    minus_ = set.rejected;
    targets_.weights = weight;
    targets_.labels.assign(set.rows(), 1.0f);
    fold_ = fold;
    if (loss == Loss::BradleyTerry) {
      targets_.margins = set.margin;
    } else {
      targets_.labels.insert(targets_.labels.end(), set.rows(), -1.0f);
      targets_.weights.insert(targets_.weights.end(), weight.begin(), weight.end());
      fold_.insert(fold_.end(), fold.begin(), fold.end());
    }
  }
  transform.apply(plus_);
  transform.apply(minus_);
}

DesignRows<float> TrainingRows::design() const {
  if (!from_pairs()) return {{{plus_.view(), {}}}};
  if (pairwise()) return {{{plus_.view(), minus_.view()}}};
  return {{{plus_.view(), {}}, {minus_.view(), {}}}};
}

Targets TrainingRows::without_fold(int fold) const {
  Targets targets = targets_;
  for (std::size_t i = 0; i < fold_.size(); ++i) {
    if (fold_[i] == fold) targets.weights[i] = 0;
  }
  return targets;
}

TrainingRows::Dense TrainingRows::dense_without(int left_out) const {
  const std::size_t first = plus_.rows();
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < rows(); ++i) {
    if (fold_[i] != left_out) kept.push_back(i);
  }
  Dense dense{Matrix<float>(kept.size(), plus_.cols()), std::vector<float>(kept.size())};
  for (std::size_t k = 0; k < kept.size(); ++k) {
    const auto from = kept[k] < first ? plus_.row(kept[k]) : minus_.row(kept[k] - first);
    std::copy(from.begin(), from.end(), dense.x.row(k).begin());
    dense.y[k] = targets_.labels[kept[k]];
  }
  return dense;
}

double TrainingRows::total_weight() const {
  return std::accumulate(targets_.weights.begin(), targets_.weights.end(), 0.0);
}

}  // namespace coala
