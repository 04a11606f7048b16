#include "solver/active_set.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace coala {
namespace {

/// A row whose part outside the span of the active ones is shorter than this (it has length one) depends on them.
constexpr double kDependent = 1e-10;
/// How far rounding may leave a constraint violated, as a share of the size of z and u.
constexpr double kRounding = 1e-12;
/// Rows that rounding keeps from becoming active may be violated by this many times the tolerance.
constexpr double kRefused = 100;
/// A projection onto a cone that is this much shorter than z is zero: columns that depend on each other but for the
/// rounding of the features would keep the method busy with nothing.
constexpr double kVanished = 1e-8;

/// Sums in four lanes: the compiler may not reorder a sum itself.
double product(std::span<const double> a, std::span<const double> b) {
  double lanes[4] = {0, 0, 0, 0};
  std::size_t j = 0;
  for (; j + 4 <= a.size(); j += 4) {
    for (std::size_t k = 0; k < 4; ++k) lanes[k] += a[j + k] * b[j + k];
  }
  for (; j < a.size(); ++j) lanes[0] += a[j] * b[j];
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double length(std::span<const double> v) {
  return std::sqrt(product(v, v));
}

void add(double factor, std::span<const double> from, std::span<double> to) {
  for (std::size_t j = 0; j < from.size(); ++j) to[j] += factor * from[j];
}

}  // namespace

void ActiveSet::reset() {
  rows_.clear();
  alpha_.clear();
  q_.clear();
  r_.clear();
}

/// rest := the part of `row` outside the span of q, coefficients := the part inside; twice, as once loses digits.
double ActiveSet::orthogonalise(std::span<const double> row, std::span<double> rest,
                                std::span<double> coefficients) const {
  std::ranges::copy(row, rest.begin());
  std::ranges::fill(coefficients, 0.0);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t k = 0; k < q_.size(); ++k) {
      const double c = product(q_[k], rest);
      coefficients[k] += c;
      add(-c, q_[k], rest);
    }
  }
  return length(rest);
}

/// Makes a row active, with multiplier 0. False when it depends on the active ones.
bool ActiveSet::append(std::size_t index, std::span<const double> row) {
  std::vector<double> rest(dimension_);
  std::vector<double> column(q_.size() + 1);
  const double size = orthogonalise(row, rest, std::span(column).first(q_.size()));
  if (!(size > kDependent) || q_.size() == dimension_) return false;
  for (double& value : rest) value /= size;
  column.back() = size;
  q_.push_back(std::move(rest));
  r_.push_back(std::move(column));
  rows_.push_back(index);
  alpha_.push_back(0.0);
  return true;
}

/// Drops an active row; plane rotations make the factor triangular again.
void ActiveSet::remove(std::size_t position) {
  rows_.erase(rows_.begin() + static_cast<long>(position));
  alpha_.erase(alpha_.begin() + static_cast<long>(position));
  r_.erase(r_.begin() + static_cast<long>(position));
  for (std::size_t k = position; k < r_.size(); ++k) {
    const double a = r_[k][k];
    const double b = r_[k][k + 1];
    const double size = std::hypot(a, b);
    const double c = size > 0 ? a / size : 1.0;
    const double s = size > 0 ? b / size : 0.0;
    r_[k][k] = size;
    r_[k].pop_back();
    for (std::size_t column = k + 1; column < r_.size(); ++column) {
      const double upper = r_[column][k];
      const double lower = r_[column][k + 1];
      r_[column][k] = c * upper + s * lower;
      r_[column][k + 1] = c * lower - s * upper;
    }
    double* const first = q_[k].data();
    double* const second = q_[k + 1].data();
    for (std::size_t j = 0; j < dimension_; ++j) {
      const double upper = first[j];
      const double lower = second[j];
      first[j] = c * upper + s * lower;
      second[j] = c * lower - s * upper;
    }
  }
  q_.pop_back();
}

/// t := R^{-1} t
void ActiveSet::solve_upper(std::span<double> t) const {
  for (std::size_t k = t.size(); k-- > 0;) {
    t[k] /= r_[k][k];
    for (std::size_t i = 0; i < k; ++i) t[i] -= r_[k][i] * t[k];
  }
}

/// t := R'^{-1} t
void ActiveSet::solve_lower(std::span<double> t) const {
  for (std::size_t k = 0; k < t.size(); ++k) {
    t[k] = (t[k] - product(std::span(r_[k]).first(k), t.first(k))) / r_[k][k];
  }
}

/// The point nearest to z on which the active constraints hold with equality, and its multipliers.
void ActiveSet::project(std::span<const double> h, std::span<const double> z, std::span<double> u,
                        std::vector<double>& alpha) const {
  std::vector<double> target(rows_.size());  // Q u, from R' (Q u) = h_A
  if (!h.empty()) {
    for (std::size_t k = 0; k < rows_.size(); ++k) target[k] = h[rows_[k]];
    solve_lower(target);
  }
  std::ranges::copy(z, u.begin());
  alpha.assign(rows_.size(), 0.0);
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t k = 0; k < q_.size(); ++k) {
      const double c = target[k] - product(q_[k], u);
      alpha[k] += c;
      add(c, q_[k], u);
    }
  }
  solve_upper(alpha);
}

/// Builds the factor anew from the rows: many updates have let it drift.
void ActiveSet::refactor(MatrixView<const double> b) {
  const std::vector<std::size_t> rows = rows_;
  const std::vector<double> alpha = alpha_;
  reset();
  for (std::size_t k = 0; k < rows.size(); ++k) {
    if (append(rows[k], b.row(rows[k]))) alpha_.back() = alpha[k];
  }
}

ActiveSet::Status ActiveSet::solve(MatrixView<const double> b, std::span<const double> h, std::span<const double> z,
                                   std::span<double> u) {
  if (dimension_ != z.size()) reset();
  dimension_ = z.size();
  steps_ = 0;
  const std::size_t most_steps = 20 * (dimension_ + 10) + 4 * b.rows;
  const double z_size = length(z);
  std::vector<double> wanted;
  std::vector<double> slack(b.rows);
  std::vector<std::uint8_t> is_active(b.rows);
  std::vector<std::uint8_t> refused(b.rows);  // came and went without a step in between: rounding, until u moves
  std::vector<double> rest(dimension_);
  for (const std::size_t row : rows_) is_active[row] = 1;
  bool refactored = false;
  std::size_t newest = b.rows;  // the row that came last, while it has not been stepped to

  while (true) {
    // Towards the multipliers of the active set; the rows that reach zero on the way leave.
    bool moved = false;
    while (true) {
      project(h, z, u, wanted);
      double step = 1;
      std::size_t blocking = rows_.size();
      for (std::size_t k = 0; k < wanted.size(); ++k) {
        if (wanted[k] > 0) continue;
        const double share = alpha_[k] > 0 ? alpha_[k] / (alpha_[k] - wanted[k]) : 0.0;
        if (blocking == rows_.size() || share < step) {
          step = share;
          blocking = k;
        }
      }
      if (blocking == rows_.size()) {
        moved = moved || newest == b.rows || is_active[newest] != 0;
        alpha_ = wanted;
        break;
      }
      moved = moved || step > 0;
      for (std::size_t k = 0; k < alpha_.size(); ++k) alpha_[k] += step * (wanted[k] - alpha_[k]);
      const std::size_t leaving = rows_[blocking];
      is_active[leaving] = 0;
      if (leaving == newest && !moved) refused[leaving] = 1;
      remove(blocking);
      if (++steps_ > most_steps) return Status::StepLimit;
    }
    if (moved) std::ranges::fill(refused, std::uint8_t{0});

    const double u_size = length(u);
    if (h.empty() && u_size <= kVanished * z_size) {
      std::ranges::fill(u, 0.0);
      return Status::Solved;
    }
    const double tolerance = kRounding * std::max(z_size, u_size);
    for (std::size_t i = 0; i < b.rows; ++i) slack[i] = product(b.row(i), u);
    std::size_t worst = b.rows;
    double worst_slack = -tolerance;
    double refused_slack = 0;
    double active_error = 0;
    for (std::size_t i = 0; i < b.rows; ++i) {
      if (!h.empty()) slack[i] -= h[i];
      if (is_active[i] != 0) {
        active_error = std::max(active_error, std::abs(slack[i]));
      } else if (refused[i] != 0) {
        refused_slack = std::min(refused_slack, slack[i]);
      } else if (slack[i] < worst_slack) {
        worst_slack = slack[i];
        worst = i;
      }
    }
    if (active_error > tolerance && !refactored) {
      refactored = true;
      for (const std::size_t row : rows_) is_active[row] = 0;
      refactor(b);
      for (const std::size_t row : rows_) is_active[row] = 1;
      continue;
    }
    if (worst == b.rows) return refused_slack >= -kRefused * tolerance ? Status::Solved : Status::StepLimit;
    if (++steps_ > most_steps) return Status::StepLimit;

    double grown = 0;  // the new row's multiplier
    bool appended = append(worst, b.row(worst));
    if (!appended && h.empty()) {
      refused[worst] = 1;  // zero is a point of every cone: what is left of the violation is rounding
      continue;
    }
    while (!appended) {
      // b = sum_k c_k b_k: the multiplier of the new row grows at the expense of those with c_k > 0 and u stays, until
      // one of them is used up. When there is none, no point satisfies all these constraints.
      std::vector<double> c(rows_.size());
      orthogonalise(b.row(worst), rest, c);
      solve_upper(c);
      double most = std::numeric_limits<double>::infinity();
      std::size_t leaving = rows_.size();
      for (std::size_t k = 0; k < c.size(); ++k) {
        if (c[k] > kDependent && alpha_[k] / c[k] < most) {
          most = alpha_[k] / c[k];
          leaving = k;
        }
      }
      if (leaving == rows_.size()) return Status::Infeasible;
      for (std::size_t k = 0; k < c.size(); ++k) alpha_[k] = std::max(0.0, alpha_[k] - most * c[k]);
      grown += most;
      is_active[rows_[leaving]] = 0;
      remove(leaving);
      if (++steps_ > most_steps) return Status::StepLimit;
      appended = append(worst, b.row(worst));
    }
    alpha_.back() = grown;
    is_active[worst] = 1;
    newest = worst;
  }
}

}  // namespace coala
