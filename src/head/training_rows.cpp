#include "head/training_rows.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "solver/gated_operator.h"

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

/// Whether the kernels may read the features as they are stored and apply the transform to the weights instead. Where a
/// column's mean is large beside its deviation the products would cancel, and very small or large scales would leave
/// the range of single precision: such features are transformed once, in memory.
bool folds_into_weights(const FeatureTransform& transform) {
  constexpr float kMostDeviations = 256;  // cancellation costs 8 of 24 bits at most
  constexpr float kMostScale = 0x1p40f;
  for (std::size_t j = 0; j < transform.scale.size(); ++j) {
    const float scale = transform.scale[j];
    if (scale == 0) continue;
    if (!(std::abs(transform.mean[j]) * scale <= kMostDeviations)) return false;
    if (!(scale <= kMostScale && scale >= 1 / kMostScale)) return false;
  }
  return true;
}

StoredRows transformed(const StoredRows& rows, const FeatureTransform& transform) {
  Matrix<float> x = rows.matrix();
  for (std::size_t i = 0; i < x.rows(); ++i) transform.apply(std::span<const float>(x.row(i)), x.row(i));
  return x;
}

bool is_identity(const FeatureTransform& transform) {
  const auto is = [](float value) { return [value](float other) { return other == value; }; };
  return std::ranges::all_of(transform.mean, is(0)) && std::ranges::all_of(transform.scale, is(1));
}

}  // namespace

TrainingRows::TrainingRows(const FeatureSet& set, const FeatureTransform& transform, Loss loss, int folds,
                           std::uint64_t seed, Backend* backend)
    : backend_(backend) {
  targets_.loss = loss;
  fold_ = folds_by_prompt(set, folds, seed);
  targets_.weights = set.weight.empty() ? std::vector<float>(set.rows(), 1.0f) : set.weight;
  if (set.kind == FeatureKind::Labelled) {
    if (pairwise()) {
      throw Error(ErrorCode::BadUsage,
                  "the loss " + std::string(loss_name(loss)) + " needs preference pairs; " + set.path + " has labels",
                  "use --loss logistic");
    }
    responses_ = {set.features};
    targets_.labels.assign(set.labels.begin(), set.labels.end());
  } else {
    responses_ = {set.chosen, set.rejected};
    targets_.labels.assign(set.rows(), 1.0f);
  }
  if (folds_into_weights(transform)) {
    if (!is_identity(transform)) design_.transform = std::make_shared<const FeatureTransform>(transform);
  } else {
    for (StoredRows& side : responses_) side = transformed(side, transform);
  }
  if (!from_pairs()) {
    design_.segments = {{responses_[0], {}}};
  } else if (pairwise()) {
    design_.segments = {{responses_[0], responses_[1]}};
    targets_.margins = set.margin;
  } else {
    design_.segments = {{responses_[0].joined_with(responses_[1]), {}}};
    const std::vector<int> fold = fold_;
    const std::vector<float> weight = targets_.weights;
    fold_.insert(fold_.end(), fold.begin(), fold.end());
    targets_.weights.insert(targets_.weights.end(), weight.begin(), weight.end());
    targets_.labels.insert(targets_.labels.end(), set.rows(), -1.0f);
  }
}

const std::shared_ptr<const LoadedFeatures>& TrainingRows::loaded() const {
  if (backend_ != nullptr && !loaded_) loaded_ = load_features(design_, *backend_);
  return loaded_;
}

TrainingRows::Part TrainingRows::outside_fold(int fold) const {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < rows(); ++i) {
    if (fold_[i] != fold) kept.push_back(i);
  }
  return part(std::move(kept));
}

TrainingRows::Part TrainingRows::inside_fold(int fold) const {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < rows(); ++i) {
    if (fold_[i] == fold) kept.push_back(i);
  }
  return part(std::move(kept));
}

TrainingRows::Part TrainingRows::part(std::vector<std::size_t> rows) const {
  const auto& [plus, minus] = design_.segments.front();
  Part part;
  part.design = {{{plus.subset(rows), minus.rows() > 0 ? minus.subset(rows) : StoredRows()}}, design_.transform};
  part.targets.loss = targets_.loss;
  for (const std::size_t i : rows) {
    part.targets.labels.push_back(targets_.labels[i]);
    part.targets.weights.push_back(targets_.weights[i]);
    if (!targets_.margins.empty()) part.targets.margins.push_back(targets_.margins[i]);
  }
  part.rows = std::move(rows);
  return part;
}

void TrainingRows::read(std::size_t side, std::size_t i, std::span<float> x) const {
  design_.read(responses_[side], i, 0, x);
}

double TrainingRows::Part::weight() const {
  double total = 0;
  for (const float value : targets.weights) total += static_cast<double>(value);
  return total;
}

double TrainingRows::total_weight() const {
  return std::accumulate(targets_.weights.begin(), targets_.weights.end(), 0.0);
}

}  // namespace coala
