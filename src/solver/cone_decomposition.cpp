#include "solver/cone_decomposition.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "core/error.h"
#include "linalg/blas.h"
#include "solver/cone_set.h"

namespace coala {
namespace {

constexpr int kReweightings = 20;
constexpr double kWorthwhile = 1e-4;  ///< relative gain below which reweighting ends
constexpr int kRounds = 1000;

/// The responses, dense: those that are stored otherwise are converted and kept in `converted`.
std::vector<MatrixView<const float>> responses(const DesignRows<float>& rows, std::deque<Matrix<float>>& converted) {
  std::vector<MatrixView<const float>> blocks;
  for (const auto& segment : rows.segments) {
    for (const StoredRows* side : {&segment.plus, &segment.minus}) {
      if (side->rows() > 0) blocks.push_back(rows.block(*side, 0, side->rows(), converted.emplace_back()));
    }
  }
  return blocks;
}

/// The gates to be split into halves, with what their rows say of the weights.
struct Task {
  std::size_t group;
  std::vector<double> slopes;  ///< E x_i'w / ||x_i||, 0 for a row of zeros
  double share = 0.5;          ///< of w that u- would give up if there were no cone
};

std::vector<Task> tasks_for(const std::vector<MatrixView<const float>>& blocks, MatrixView<const float> gates,
                            MatrixView<const float> w, const ConeSet& cones) {
  std::vector<Task> tasks;
  for (std::size_t p = 0; p < gates.rows; ++p) {
    const auto is_zero = [](float value) { return value == 0; };
    if (std::ranges::all_of(gates.row(p), is_zero) || std::ranges::all_of(w.row(p), is_zero)) continue;
    Task& task = tasks.emplace_back(Task{p, {}, 0.5});
    std::size_t row = 0;
    for (const auto& block : blocks) {
      for (std::size_t i = 0; i < block.rows; ++i, ++row) {
        const double size = norm(block.row(i));
        const double sign = cones.pattern()(row, p) != 0 ? 1 : -1;
        task.slopes.push_back(size > 0 ? sign * dot(block.row(i), w.row(p)) / size : 0.0);
      }
    }
  }
  return tasks;
}

}  // namespace

bool ConeDecomposition::exact() const {
  return std::ranges::all_of(status, [](SplitStatus s) { return s == SplitStatus::Exact; });
}

ConeDecomposition decompose_into_cones(const DesignRows<float>& rows, MatrixView<const float> gates,
                                       MatrixView<const float> w, ThreadPool& pool) {
  const std::size_t groups = gates.rows;
  const std::size_t d = gates.cols;
  if (w.rows != groups || w.cols != d || rows.dimension() != d) {
    throw Error(ErrorCode::Internal, "cone decomposition: rows, gates and weights have different shapes");
  }
  std::deque<Matrix<float>> converted;
  const std::vector<MatrixView<const float>> blocks = responses(rows, converted);
  ConeSet cones(blocks, gates, pool);
  std::vector<Task> tasks = tasks_for(blocks, gates, w, cones);

  ConeDecomposition result;
  result.u = Matrix<double>(2 * groups, d);
  result.status.assign(groups, SplitStatus::Exact);
  for (std::size_t p = 0; p < groups; ++p) {
    result.gated_norm += norm(w.row(p));
    if (!std::ranges::all_of(gates.row(p), [](float value) { return value == 0; })) continue;
    for (std::size_t j = 0; j < d; ++j) {
      result.u(p, j) = static_cast<double>(w(p, j));
      result.u(groups + p, j) = -static_cast<double>(w(p, j));
    }
  }

  // With u- = c - s w and u+ = c + (1 - s) w, both are in the cone iff B c >= max(s B w, -(1 - s) B w) (B: rows of
  // E X). The c of least norm is best for the sum of squares at s = 1/2; reweighting the squares by the lengths of the
  // last halves, which moves s, leads to the least sum of lengths.
  std::vector<ConeSet::Slot> slots(tasks.size());
  for (std::size_t k = 0; k < tasks.size(); ++k) slots[k].cone = tasks[k].group;
  std::vector<double> best(tasks.size(), HUGE_VAL);
  for (int round = 0; round < kReweightings; ++round) {
    std::vector<std::vector<double>> bounds(tasks.size());
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      for (const double slope : tasks[k].slopes) {
        bounds[k].push_back(std::max(tasks[k].share * slope, (tasks[k].share - 1) * slope));
      }
    }
    const Matrix<double> origin(tasks.size(), d);
    Matrix<double> c(tasks.size(), d);
    cones.nearest(slots, origin, c, kRounds, bounds);
    bool better = false;
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      const std::size_t p = tasks[k].group;
      if (slots[k].status != ActiveSet::Status::Solved) {
        if (round == 0) {
          result.status[p] =
              slots[k].status == ActiveSet::Status::Infeasible ? SplitStatus::NoSplit : SplitStatus::Failed;
        }
        continue;
      }
      std::vector<double> plus(d);
      std::vector<double> minus(d);
      for (std::size_t j = 0; j < d; ++j) {
        minus[j] = c(k, j) - tasks[k].share * static_cast<double>(w(p, j));
        plus[j] = c(k, j) + (1 - tasks[k].share) * static_cast<double>(w(p, j));
      }
      const double sizes[2] = {norm(plus), norm(minus)};
      if (sizes[0] + sizes[1] < best[k]) {
        better = better || sizes[0] + sizes[1] < (1 - kWorthwhile) * best[k];
        best[k] = sizes[0] + sizes[1];
        std::ranges::copy(plus, result.u.row(p).begin());
        std::ranges::copy(minus, result.u.row(groups + p).begin());
      }
      if (sizes[0] + sizes[1] > 0) tasks[k].share = sizes[1] / (sizes[0] + sizes[1]);
    }
    if (!better) break;
  }

  Signed<double> halves{Matrix<double>(groups, d), Matrix<double>(groups, d)};
  const Matrix<double>& u = result.u;
  for (std::size_t s = 0; s < 2 * groups; ++s) {
    result.relu_norm += norm(u.row(s));
    std::ranges::copy(u.row(s), halves[s / groups].row(s % groups).begin());
  }
  result.network = relu_weights(halves);
  return result;
}

}  // namespace coala
