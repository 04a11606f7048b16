#include "solver/cone_set.h"

#include <algorithm>
#include <cmath>

#include "linalg/blas.h"
#include "solver/gates.h"

namespace coala {
namespace {

constexpr std::size_t kConeBlockRows = 256;
/// What a point may violate a constraint by, as a share of ||x|| (||u|| + ||z||): ten times what the active set allows,
/// which works on rows that were rounded once more.
constexpr double kFeasible = 1e-11;

}  // namespace

ConeSet::ConeSet(std::vector<MatrixView<const float>> blocks, MatrixView<const float> gates, ThreadPool& pool,
                 const Deadline& deadline)
    : blocks_(std::move(blocks)), dimension_(gates.cols), pool_(&pool), deadline_(deadline) {
  std::size_t count = 0;
  for (const auto& block : blocks_) {
    block_first_.push_back(count);
    count += block.rows;
  }
  pattern_ = Matrix<std::uint8_t>(count, gates.rows);
  sizes_.resize(count);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const Matrix<std::uint8_t> part = gate_pattern(blocks_[b], gates, pool);
    std::ranges::copy(part.values(), pattern_.values().begin() + static_cast<long>(block_first_[b] * gates.rows));
    for (std::size_t i = 0; i < blocks_[b].rows; ++i) {
      sizes_[block_first_[b] + i] = norm(blocks_[b].row(i));
    }
  }
  working_.resize(gates.rows);
  for (Working& working : working_) working.has.resize(count);
  start_near_gates(gates);
}

std::span<const float> ConeSet::row(std::size_t i) const {
  std::size_t block = blocks_.size() - 1;
  while (block_first_[block] > i) --block;
  return blocks_[block].row(i - block_first_[block]);
}

/// A gate is a point of its cone; the rows nearest to its boundary are likely facets.
void ConeSet::start_near_gates(MatrixView<const float> gates) {
  const std::size_t count = std::min(rows(), 2 * dimension_);
  Matrix<double> distance(gates.rows, rows());
  pool_->for_parts(rows(), kConeBlockRows, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (i % kConeBlockRows == 0) deadline_.check();
      for (std::size_t p = 0; p < gates.rows; ++p) {
        distance(p, i) = sizes_[i] > 0 ? std::abs(dot(gates.row(p), row(i))) / sizes_[i] : HUGE_VAL;
      }
    }
  });
  std::vector<std::size_t> order(rows());
  for (std::size_t p = 0; p < gates.rows; ++p) {
    deadline_.check();
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    const auto nearer = [&](std::size_t a, std::size_t b) {
      return distance(p, a) != distance(p, b) ? distance(p, a) < distance(p, b) : a < b;
    };
    std::partial_sort(order.begin(), order.begin() + static_cast<long>(count), order.end(), nearer);
    for (std::size_t k = 0; k < count; ++k) add(p, order[k]);
  }
}

void ConeSet::add(std::size_t cone, std::size_t index) {
  Working& working = working_[cone];
  if (working.has[index] != 0 || !(sizes_[index] > 0)) return;
  working.has[index] = 1;
  working.rows.push_back(index);
  const double scale = (pattern_(index, cone) != 0 ? 1 : -1) / sizes_[index];
  for (const float value : row(index)) working.directions.push_back(scale * static_cast<double>(value));
}

bool ConeSet::nearest(std::vector<Slot>& slots, const Matrix<double>& z, Matrix<double>& u, int most_rounds,
                      const std::vector<std::vector<double>>& bounds) {
  std::vector<std::uint8_t> open(slots.size(), 1);  // not known to be right yet
  for (int round = 0;; ++round) {
    pool_->for_parts(slots.size(), 1, [&](int, std::size_t begin, std::size_t end) {
      for (std::size_t s = begin; s < end; ++s) {
        if (open[s] == 0) continue;
        deadline_.check();
        const Working& working = working_[slots[s].cone];
        std::vector<double> h;
        if (!bounds.empty()) {
          for (const std::size_t index : working.rows) h.push_back(bounds[s][index]);
        }
        const MatrixView<const double> rows(working.directions.data(), working.rows.size(), dimension_);
        slots[s].status = slots[s].active.solve(rows, h, z.row(s), u.row(s));
        if (slots[s].status == ActiveSet::Status::StepLimit) {  // an old active set may be a bad start
          slots[s].active.reset();
          slots[s].status = slots[s].active.solve(rows, h, z.row(s), u.row(s));
        }
      }
    });
    if (round >= most_rounds) return false;
    const auto found = violations(slots, open, z, u, bounds);
    bool any = false;
    for (std::size_t s = 0; s < slots.size(); ++s) {
      // None of the rows found was in the working set during the pass (another slot of the cone may have added it).
      open[s] = slots[s].status == ActiveSet::Status::Solved && !found[s].empty() ? 1 : 0;
      if (open[s] == 0) continue;
      for (const Violation& violation : found[s]) add(slots[s].cone, violation.row);
      any = true;
    }
    if (!any) break;
  }
  return std::ranges::all_of(slots, [](const Slot& slot) { return slot.status == ActiveSet::Status::Solved; });
}

/// The rows that the open points violate most, found in single precision and confirmed in double. Rows of the working
/// sets are left out.
std::vector<std::vector<ConeSet::Violation>> ConeSet::violations(const std::vector<Slot>& slots,
                                                                 const std::vector<std::uint8_t>& open,
                                                                 const Matrix<double>& z, const Matrix<double>& u,
                                                                 const std::vector<std::vector<double>>& bounds) {
  ++passes_;
  const std::size_t most = std::max<std::size_t>(dimension_ / 4, 8);
  const std::size_t count = slots.size();
  Matrix<float> directions(count, dimension_);  // u / ||u||
  std::vector<double> lengths(count);
  std::vector<double> allowed(count);
  std::vector<std::size_t> asked;  // zero is a point of every cone
  for (std::size_t s = 0; s < count; ++s) {
    lengths[s] = norm(u.row(s));
    allowed[s] = kFeasible * (lengths[s] + norm(z.row(s)));
    if (open[s] != 0 && (lengths[s] > 0 || !bounds.empty())) asked.push_back(s);
    if (!(lengths[s] > 0)) continue;
    for (std::size_t j = 0; j < dimension_; ++j) directions(s, j) = static_cast<float>(u(s, j) / lengths[s]);
  }
  // An inner product of d terms is off by at most this share of ||x|| ||u|| (one rounding more for the direction).
  const double rounding =
      static_cast<double>(dimension_ + 1) * 0x1p-24 / (1 - static_cast<double>(dimension_) * 0x1p-24);
  const auto workers = static_cast<std::size_t>(pool_->size());
  std::vector<std::vector<std::vector<Violation>>> parts(workers, std::vector<std::vector<Violation>>(count));
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    pool_->for_parts(blocks_[b].rows, kConeBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
      auto& found = parts[static_cast<std::size_t>(worker)];
      Matrix<float> products(kConeBlockRows, count);
      for (std::size_t at = begin; at < end; at += kConeBlockRows) {
        deadline_.check();
        const std::size_t here = std::min(kConeBlockRows, end - at);
        gemm(false, true, 1.0f, blocks_[b].row_range(at, at + here),
             static_cast<const Matrix<float>&>(directions).view(), 0.0f,
             MatrixView<float>(products.data(), here, count));
        for (std::size_t k = 0; k < here; ++k) {
          const std::size_t i = block_first_[b] + at + k;
          const double size = sizes_[i];
          if (!(size > 0)) continue;
          for (const std::size_t s : asked) {
            const std::size_t cone = slots[s].cone;
            const double sign = pattern_(i, cone) != 0 ? 1 : -1;
            const double bound = bounds.empty() ? 0.0 : bounds[s][i];
            const double quick = sign * static_cast<double>(products(k, s)) / size * lengths[s] - bound;
            if (quick > rounding * lengths[s]) continue;  // false for NaN
            if (working_[cone].has[i] != 0) continue;
            double exact = 0;
            const auto x = blocks_[b].row(at + k);
            for (std::size_t j = 0; j < dimension_; ++j) exact += static_cast<double>(x[j]) * u(s, j);
            const double slack = sign * exact / size - bound;
            if (slack < -allowed[s]) found[s].push_back({i, -slack});
          }
        }
      }
    });
  }
  std::vector<std::vector<Violation>> worst(count);
  for (std::size_t s = 0; s < count; ++s) {
    for (auto& part : parts) worst[s].insert(worst[s].end(), part[s].begin(), part[s].end());
    const auto larger = [](const Violation& a, const Violation& b) {
      return a.amount != b.amount ? a.amount > b.amount : a.row < b.row;
    };
    const std::size_t keep = std::min(most, worst[s].size());
    std::partial_sort(worst[s].begin(), worst[s].begin() + static_cast<long>(keep), worst[s].end(), larger);
    worst[s].resize(keep);
  }
  return worst;
}

std::vector<std::pair<std::size_t, double>> ConeSet::multipliers(const Slot& slot) const {
  std::vector<std::pair<std::size_t, double>> result;
  for (std::size_t k = 0; k < slot.active.rows().size(); ++k) {
    const std::size_t index = working_[slot.cone].rows[slot.active.rows()[k]];
    result.emplace_back(index, slot.active.multipliers()[k] / sizes_[index]);
  }
  return result;
}

}  // namespace coala
