#include "solver/gated_operator.h"

#include <algorithm>
#include <cassert>

#include "linalg/blas.h"
#include "solver/gates.h"

namespace coala {
namespace {

/// Rows per block: the block of X, its products and the weights stay in the second-level cache between the product
/// and its adjoint (256 rows x 384 numbers x 4 bytes = 400 kB).
constexpr std::size_t kBlockRows = 256;

}  // namespace

template <class T>
GatedOperator<T>::GatedOperator(DesignRows<T> rows, MatrixView<const T> gates, ThreadPool& pool)
    : rows_(std::move(rows)),
      row_count_(rows_.rows()),
      groups_(gates.rows),
      dimension_(rows_.dimension()),
      pool_(&pool) {
  for (const auto& segment : rows_.segments) {
    plus_patterns_.push_back(gate_pattern(segment.plus, gates, pool));
    minus_patterns_.push_back(gate_pattern(segment.minus, gates, pool));
  }
}

template <class T>
GatedOperator<T>::GatedOperator(DesignRows<T> rows, Matrix<std::uint8_t> pattern, ThreadPool& pool)
    : rows_(std::move(rows)),
      row_count_(rows_.rows()),
      groups_(pattern.cols()),
      dimension_(rows_.dimension()),
      pool_(&pool) {
  assert(rows_.segments.size() == 1 && !rows_.pairwise() && pattern.rows() == row_count_);
  plus_patterns_.push_back(std::move(pattern));
  minus_patterns_.emplace_back();
}

template <class T>
std::uint64_t GatedOperator<T>::bytes_per_pass() const {
  return static_cast<std::uint64_t>(row_count_) * dimension_ * sizeof(T) * (rows_.pairwise() ? 2 : 1);
}

template <class T>
void GatedOperator<T>::forward(MatrixView<const T> w, std::span<T> z, std::span<const std::uint8_t> active) {
  run(w, active, nullptr, z, {}, {});
}

template <class T>
void GatedOperator<T>::adjoint(std::span<const T> r, MatrixView<T> g) {
  run({}, {}, nullptr, {}, r, g);
}

template <class T>
void GatedOperator<T>::fused(MatrixView<const T> w, const std::function<T(std::size_t, T)>& map, MatrixView<T> g,
                             std::span<const std::uint8_t> active) {
  run(w, active, &map, {}, {}, g);
}

template <class T>
void GatedOperator<T>::run(MatrixView<const T> w, std::span<const std::uint8_t> active,
                           const std::function<T(std::size_t, T)>* map, std::span<T> z_out, std::span<const T> r_in,
                           MatrixView<T> g) {
  const bool forward = w.data != nullptr;
  const bool adjoint = g.data != nullptr;

  // Closed groups contribute nothing to the product: their columns are left out of it.
  std::vector<std::size_t> columns;
  Matrix<T> compact;
  if (forward) {
    for (std::size_t p = 0; p < groups_; ++p) {
      if (active.empty() || active[p] != 0) columns.push_back(p);
    }
    compact = Matrix<T>(columns.size(), dimension_);
    for (std::size_t k = 0; k < columns.size(); ++k) {
      std::copy_n(w.row(columns[k]).data(), dimension_, compact.row(k).data());
    }
  }

  const auto workers = static_cast<std::size_t>(pool_->size());
  std::vector<Matrix<T>> sums(adjoint ? workers : 0);
  std::size_t first_row = 0;
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    const auto& segment = rows_.segments[s];
    const bool pairwise = segment.minus.rows > 0;
    pool_->for_parts(segment.plus.rows, kBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
      Matrix<T> products(kBlockRows, std::max<std::size_t>(1, columns.size()));
      Matrix<T> spread(kBlockRows, groups_);
      std::vector<T> r(kBlockRows);
      if (adjoint && sums[static_cast<std::size_t>(worker)].rows() == 0) {
        sums[static_cast<std::size_t>(worker)] = Matrix<T>(groups_, dimension_);
      }
      for (std::size_t at = begin; at < end; at += kBlockRows) {
        const std::size_t count = std::min(kBlockRows, end - at);
        std::fill_n(r.begin(), count, T(0));
        const auto accumulate = [&](MatrixView<const T> x, const Matrix<std::uint8_t>& pattern, T sign) {
          const MatrixView<T> z(products.data(), count, columns.size(), columns.size());
          gemm(false, true, T(1), x.row_range(at, at + count), compact.view(), T(0), z);
          for (std::size_t i = 0; i < count; ++i) {
            const auto gates = pattern.row(at + i);
            T sum = 0;
            for (std::size_t k = 0; k < columns.size(); ++k) sum += gates[columns[k]] != 0 ? z(i, k) : T(0);
            r[i] += sign * sum;
          }
        };
        if (forward && !columns.empty()) {
          accumulate(segment.plus, plus_patterns_[s], T(1));
          if (pairwise) accumulate(segment.minus, minus_patterns_[s], T(-1));
        }
        const std::size_t row = first_row + at;
        if (!z_out.empty()) std::copy_n(r.begin(), count, z_out.begin() + static_cast<long>(row));
        if (!adjoint) continue;
        for (std::size_t i = 0; i < count; ++i) {
          if (map != nullptr) {
            r[i] = (*map)(row + i, r[i]);
          } else {
            r[i] = r_in[row + i];
          }
        }
        const auto spread_back = [&](MatrixView<const T> x, const Matrix<std::uint8_t>& pattern, T sign) {
          const MatrixView<T> z(spread.data(), count, groups_, groups_);
          for (std::size_t i = 0; i < count; ++i) {
            const auto gates = pattern.row(at + i);
            for (std::size_t p = 0; p < groups_; ++p) z(i, p) = gates[p] != 0 ? sign * r[i] : T(0);
          }
          gemm(true, false, T(1), z, x.row_range(at, at + count), T(1), sums[static_cast<std::size_t>(worker)].view());
        };
        spread_back(segment.plus, plus_patterns_[s], T(1));
        if (pairwise) spread_back(segment.minus, minus_patterns_[s], T(-1));
      }
    });
    first_row += segment.plus.rows;
  }
  if (adjoint) {
    for (std::size_t p = 0; p < groups_; ++p) std::fill(g.row(p).begin(), g.row(p).end(), T(0));
    for (const Matrix<T>& sum : sums) {
      if (sum.rows() == 0) continue;
      for (std::size_t p = 0; p < groups_; ++p) {
        for (std::size_t j = 0; j < dimension_; ++j) g(p, j) += sum(p, j);
      }
    }
  }
  ++passes_;
  const double sides = rows_.pairwise() ? 2 : 1;
  const double entries = sides * static_cast<double>(row_count_) * static_cast<double>(dimension_);
  flops_ += 2 * entries *
            ((forward ? static_cast<double>(columns.size()) : 0) + (adjoint ? static_cast<double>(groups_) : 0));
}

template class GatedOperator<float>;
template class GatedOperator<double>;

}  // namespace coala
