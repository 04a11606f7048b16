#include "solver/normal_operator.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "linalg/blas.h"
#include "solver/gram_cost.h"

namespace coala {
namespace {

/// Rows of which the products are summed in the numbers' own precision; double between such blocks. About a quarter of
/// them are open in two gates, so a sum has a few hundred terms.
constexpr std::size_t kBlockRows = 1024;
/// Sums in double that stay in the second-level cache.
constexpr std::size_t kSumBytes = 512 * 1024;
/// The blocks are applied in this many parts, each with its own sums, added in order.
constexpr std::size_t kParts = 8;
/// Numbers below which another thread would not have woken up before the work is done.
constexpr std::size_t kWorthAThread = 64 * 1024;
/// Rows of a block that are added to the result together: it is loaded and stored once for all of them.
constexpr std::size_t kRowsAtOnce = 4;

/// to += sum_k weights[k] rows[k]
template <class T>
void add_rows(const T* rows, std::size_t stride, const T* weights, std::size_t columns, T* to) {
  const T w0 = weights[0];
  const T w1 = weights[1];
  const T w2 = weights[2];
  const T w3 = weights[3];
  const T* const r1 = rows + stride;
  const T* const r2 = r1 + stride;
  const T* const r3 = r2 + stride;
  for (std::size_t j = 0; j < columns; ++j) to[j] += (w0 * rows[j] + w1 * r1[j]) + (w2 * r2[j] + w3 * r3[j]);
}

/// to += block' w, [d]; the block is symmetric
template <class T>
void add_product(const Matrix<T>& block, std::span<const T> w, std::span<T> to) {
  const std::size_t d = block.cols();
  std::size_t i = 0;
  for (; i + kRowsAtOnce <= d; i += kRowsAtOnce) {
    add_rows(block.row(i).data(), d, w.data() + i, d, to.data());
  }
  for (; i < d; ++i) {
    const auto row = block.row(i);
    for (std::size_t j = 0; j < d; ++j) to[j] += w[i] * row[j];
  }
}

/// The power of two at or below the largest number, but so large that its inverse is one; 1 when there is none.
template <class T>
T size_of(const DesignRows<T>& rows) {
  T largest = 0;
  rows.for_each([&](std::size_t, std::span<const T> x, double) {
    for (const T value : x) largest = std::max(largest, std::abs(value));
  });
  if (!(largest > 0) || !std::isfinite(largest)) return 1;
  return std::max(std::ldexp(T(1), std::ilogb(largest)), std::numeric_limits<T>::min());
}

}  // namespace

template <class T>
NormalOperator<T>::NormalOperator(GatedOperator<T>& f, const Matrix<std::uint8_t>& pattern, std::size_t applications,
                                  NormalMethod method, const Deadline& deadline)
    : f_(&f) {
  assert(f.design().segments.size() == 1 && !f.design().pairwise());
  assert(pattern.rows() == f.rows() && pattern.cols() == f.groups());
  const NormalWork work{f.rows(), f.dimension(), f.groups(), applications, sizeof(T)};
  if (method == NormalMethod::Gram || (method == NormalMethod::Cheapest && gram_pays(work))) form(pattern, deadline);
}

template <class T>
void NormalOperator<T>::form(const Matrix<std::uint8_t>& pattern, const Deadline& deadline) {
  const std::size_t d = dimension();
  const DesignRows<T>& design = f_->design();
  const StoredRows& x = design.segments.front().plus;
  for (std::size_t p = 0; p < groups(); ++p) {
    for (std::size_t q = p; q < groups(); ++q) pairs_.push_back({p, q});
  }
  blocks_.assign(pairs_.size(), Matrix<T>(d, d));
  unit_ = size_of(design);
  std::vector<double> counts(pairs_.size());
  // A pair is summed over all rows by one thread, in one order: the same bits on every machine. A thread takes as many
  // pairs at a time as it has room for their sums in its cache.
  const std::size_t together = std::max<std::size_t>(1, kSumBytes / (d * d * sizeof(double)));
  const T inverse = 1 / unit_;
  const std::size_t grain = x.rows() * d * groups() < kWorthAThread ? pairs_.size() : 1;
  f_->pool().for_parts(pairs_.size(), grain, [&](int, std::size_t first, std::size_t last) {
    Matrix<T> open(kBlockRows, d);
    Matrix<T> product(d, d);
    std::vector<std::size_t> rows(kBlockRows);
    for (std::size_t begin = first; begin < last; begin += together) {
      deadline.check();
      const std::size_t end = std::min(begin + together, last);
      std::vector<Matrix<double>> sums(end - begin, Matrix<double>(d, d));
      for (std::size_t at = 0; at < x.rows(); at += kBlockRows) {
        const std::size_t after = std::min(at + kBlockRows, x.rows());
        for (std::size_t k = begin; k < end; ++k) {
          std::size_t count = 0;
          for (std::size_t i = at; i < after; ++i) {  // without a branch: which rows are open is anybody's guess
            rows[count] = i;
            count += static_cast<std::size_t>(pattern(i, pairs_[k].p) & pattern(i, pairs_[k].q));
          }
          if (count == 0) continue;
          for (std::size_t i = 0; i < count; ++i) {
            design.read(x, rows[i], 0, open.row(i));
            for (T& value : open.row(i)) value *= inverse;
          }
          const MatrixView<const T> used(open.data(), count, d);
          gemm(true, false, T(1), used, used, T(0), product.view());
          const auto from = product.values();
          const auto to = sums[k - begin].values();
          for (std::size_t e = 0; e < to.size(); ++e) to[e] += static_cast<double>(from[e]);
          counts[k] += static_cast<double>(count);
        }
      }
      for (std::size_t k = begin; k < end; ++k) {
        // The mean of both triangles: symmetric to the last bit, as conjugate gradients take the operator for.
        const Matrix<double>& sum = sums[k - begin];
        for (std::size_t i = 0; i < d; ++i) {
          for (std::size_t j = 0; j < d; ++j) blocks_[k](i, j) = static_cast<T>((sum(i, j) + sum(j, i)) / 2);
        }
      }
    }
  });
  ++passes_;
  for (const double count : counts) flops_ += 2 * count * static_cast<double>(d) * static_cast<double>(d);
}

template <class T>
void NormalOperator<T>::apply(MatrixView<const T> w, MatrixView<T> out) {
  if (uses_gram()) {
    apply_blocks(w, out);
  } else {
    f_->fused_blocks(
        w, [](std::size_t, std::size_t, std::span<T>) {}, out);
  }
}

template <class T>
void NormalOperator<T>::apply_blocks(MatrixView<const T> w, MatrixView<T> out) {
  const std::size_t d = dimension();
  Matrix<T> scaled(groups(), d);
  for (std::size_t p = 0; p < groups(); ++p) {
    for (std::size_t j = 0; j < d; ++j) scaled(p, j) = w(p, j) * unit_;
  }
  const Matrix<T>& in = scaled;
  std::vector<Matrix<T>> sums(kParts);
  const std::size_t grain = pairs_.size() * d * d < kWorthAThread ? kParts : 1;
  f_->pool().for_parts(kParts, grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t part = begin; part < end; ++part) {
      Matrix<T>& sum = sums[part];
      sum = Matrix<T>(groups(), d);
      for (std::size_t k = pairs_.size() * part / kParts; k < pairs_.size() * (part + 1) / kParts; ++k) {
        const auto [p, q] = pairs_[k];
        add_product<T>(blocks_[k], in.row(q), sum.row(p));
        if (p != q) add_product<T>(blocks_[k], in.row(p), sum.row(q));
      }
    }
  });
  for (std::size_t p = 0; p < groups(); ++p) {
    const auto to = out.row(p);
    std::ranges::fill(to, T(0));
    for (const Matrix<T>& sum : sums) {
      for (std::size_t j = 0; j < d; ++j) to[j] += sum(p, j);
    }
    for (T& value : to) value *= unit_;
  }
  const auto side = static_cast<double>(groups() * d);
  flops_ += 2 * side * side;
}

template class NormalOperator<float>;
template class NormalOperator<double>;

}  // namespace coala
