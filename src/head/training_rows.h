#pragma once

#include <memory>
#include <span>
#include <vector>

#include "features/feature_set.h"
#include "head/transform.h"
#include "linalg/backend.h"
#include "solver/design_rows.h"
#include "solver/loss.h"

namespace coala {

/// Features as the solvers want them: rows, targets and folds by prompt. Pairs become one row each for the
/// Bradley-Terry loss and two (chosen +1, rejected -1) for the pointwise losses. The features themselves stay where
/// they are stored; only when their transform cannot be folded into the weights are they copied, transformed.
class TrainingRows {
 public:
  /// @param backend  where the gated program computes with them, outlives them; null: on the CPU
  TrainingRows(const FeatureSet& set, const FeatureTransform& transform, Loss loss, int folds, std::uint64_t seed,
               Backend* backend = nullptr);

  const DesignRows<float>& design() const { return design_; }
  const Targets& targets() const { return targets_; }
  const std::vector<int>& fold() const { return fold_; }  ///< [rows]
  std::size_t rows() const { return fold_.size(); }
  std::size_t dimension() const { return design_.dimension(); }
  double total_weight() const;
  Backend* backend() const { return backend_; }
  /// The features where the backend has them, for operators of all rows or of some; loaded at the first call. Null on
  /// the CPU.
  const std::shared_ptr<const LoadedFeatures>& loaded() const;
  bool pairwise() const { return targets_.function().rows() == RowStructure::Pairs; }

  /// Some of the rows, sharing the features.
  struct Part {
    std::vector<std::size_t> rows;  ///< their indices
    DesignRows<float> design;       ///< in one segment
    Targets targets;

    double weight() const;  ///< of its rows
  };
  Part outside_fold(int fold) const;
  Part inside_fold(int fold) const;

  /// The responses: those chosen (or single), and those rejected, if there are pairs.
  std::size_t responses() const { return responses_.empty() ? 0 : responses_.front().rows(); }
  bool from_pairs() const { return responses_.size() == 2; }
  /// x of response i of a side (0: chosen or single, 1: rejected).
  void read(std::size_t side, std::size_t i, std::span<float> x) const;

 private:
  Part part(std::vector<std::size_t> rows) const;

  std::vector<StoredRows> responses_;
  DesignRows<float> design_;
  Targets targets_;
  std::vector<int> fold_;
  Backend* backend_;
  mutable std::shared_ptr<const LoadedFeatures> loaded_;
};

}  // namespace coala
