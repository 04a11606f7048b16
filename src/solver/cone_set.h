#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/deadline.h"
#include "core/matrix.h"
#include "core/parallel.h"
#include "solver/active_set.h"

namespace coala {

/// The cones K_p = {u : E_p X u >= 0} of the convex ReLU program, and points of them.
///
/// With many rows nearly all constraints of a cone follow from a few hundred of them. A working set per cone holds
/// those that some point has violated so far, scaled to length one (the cone stays, its conditioning improves); points
/// are computed over it, one pass over X finds the rows that they violate, and these join it.
class ConeSet {
 public:
  /// One point per slot with the active set that belongs to it.
  struct Slot {
    std::size_t cone = 0;
    ActiveSet active;
    ActiveSet::Status status = ActiveSet::Status::Solved;
  };

  /// @param blocks  the rows of X, [n_b, d] each; must outlive the object
  /// @param gates   [P, d]
  /// @param deadline  of everything that is asked of it; after it, Late is thrown
  ConeSet(std::vector<MatrixView<const float>> blocks, MatrixView<const float> gates, ThreadPool& pool,
          const Deadline& deadline = {});

  void set_deadline(const Deadline& deadline) { deadline_ = deadline; }

  std::size_t cones() const { return pattern_.cols(); }
  std::size_t rows() const { return sizes_.size(); }
  std::size_t dimension() const { return dimension_; }
  /// D [n, P]
  const Matrix<std::uint8_t>& pattern() const { return pattern_; }

  /// u_s := the point of {u in K : E X u >= h} nearest to z_s, for every slot s with its cone K.
  /// @param z, u    [slots, d]
  /// @param bounds  h, [slots][n] as shares of the length of the row; empty for zeros
  /// @param most_rounds  passes over X that may add constraints; with too few, points may still violate some
  /// @return whether the last pass found no violation (beyond rounding) and every slot was solved
  bool nearest(std::vector<Slot>& slots, const Matrix<double>& z, Matrix<double>& u, int most_rounds,
               const std::vector<std::vector<double>>& bounds = {});

  /// The multipliers of a slot on the rows of X themselves, alpha with u = z + X' E alpha: pairs (row, value).
  std::vector<std::pair<std::size_t, double>> multipliers(const Slot& slot) const;

  std::uint64_t passes() const { return passes_; }
  /// Constraints in the working set of a cone.
  std::size_t working(std::size_t cone) const { return working_[cone].rows.size(); }

 private:
  struct Working {
    std::vector<std::size_t> rows;   ///< of X
    std::vector<double> directions;  ///< E x / ||x||, one after the other
    std::vector<std::uint8_t> has;   ///< [n]
  };
  struct Violation {
    std::size_t row;
    double amount;
  };

  std::span<const float> row(std::size_t i) const;
  void start_near_gates(MatrixView<const float> gates);
  void add(std::size_t cone, std::size_t row);
  std::vector<std::vector<Violation>> violations(const std::vector<Slot>& slots, const std::vector<std::uint8_t>& open,
                                                 const Matrix<double>& z, const Matrix<double>& u,
                                                 const std::vector<std::vector<double>>& bounds);

  std::vector<MatrixView<const float>> blocks_;
  std::vector<std::size_t> block_first_;  ///< index of the first row of each block
  std::size_t dimension_ = 0;
  Matrix<std::uint8_t> pattern_;
  std::vector<double> sizes_;  ///< [n], ||x_i||
  std::vector<Working> working_;
  ThreadPool* pool_;
  Deadline deadline_;
  std::uint64_t passes_ = 0;
};

}  // namespace coala
