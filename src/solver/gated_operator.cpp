#include "solver/gated_operator.h"

#include <algorithm>
#include <cassert>

#include "linalg/gated_kernels.h"
#include "solver/gates.h"

namespace coala {
namespace {

/// Rows per block: the block of X, its products and the weights stay in the second-level cache between the product
/// and its adjoint (256 rows x 384 numbers x 4 bytes = 400 kB).
constexpr std::size_t kBlockRows = 256;

/// A pattern of bytes [n, P] as words of 16 gates [n][chunks].
std::vector<std::uint16_t> packed(const Matrix<std::uint8_t>& pattern) {
  const std::size_t chunks = chunks_of(pattern.cols());
  std::vector<std::uint16_t> words(pattern.rows() * chunks);
  for (std::size_t i = 0; i < pattern.rows(); ++i) {
    for (std::size_t p = 0; p < pattern.cols(); ++p) {
      if (pattern(i, p) != 0) {
        words[i * chunks + p / kChunkGroups] |= static_cast<std::uint16_t>(1U << (p % kChunkGroups));
      }
    }
  }
  return words;
}

}  // namespace

template <class T>
GatedOperator<T>::GatedOperator(DesignRows<T> rows, MatrixView<const T> gates, ThreadPool& pool)
    : rows_(std::move(rows)),
      row_count_(rows_.rows()),
      groups_(gates.rows),
      dimension_(rows_.dimension()),
      pool_(&pool) {
  for (const auto& segment : rows_.segments) {
    plus_patterns_.push_back(packed(gate_pattern(segment.plus, gates, pool)));
    minus_patterns_.push_back(packed(gate_pattern(segment.minus, gates, pool)));
  }
}

template <class T>
GatedOperator<T>::GatedOperator(DesignRows<T> rows, const Matrix<std::uint8_t>& pattern, ThreadPool& pool)
    : rows_(std::move(rows)),
      plus_patterns_{packed(pattern)},
      minus_patterns_(1),
      row_count_(rows_.rows()),
      groups_(pattern.cols()),
      dimension_(rows_.dimension()),
      pool_(&pool) {
  assert(rows_.segments.size() == 1 && !rows_.pairwise() && pattern.rows() == row_count_);
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
  const GatedKernels<T>& kernels = gated_kernels<T>();
  const std::size_t chunks = chunks_of(groups_);
  const std::size_t chunk_size = dimension_ * kChunkGroups;

  std::vector<T> weights(forward ? chunks * chunk_size : 0);
  bool nothing = true;  // all groups are closed: the product is zero
  for (std::size_t p = 0; forward && p < groups_; ++p) {
    if (!active.empty() && active[p] == 0) continue;
    nothing = false;
    T* const to = weights.data() + p / kChunkGroups * chunk_size + p % kChunkGroups;
    for (std::size_t j = 0; j < dimension_; ++j) to[j * kChunkGroups] = w(p, j);
  }

  std::vector<std::vector<T>> sums(adjoint ? static_cast<std::size_t>(pool_->size()) : 0);
  std::size_t first_row = 0;
  for (std::size_t s = 0; s < rows_.segments.size(); ++s) {
    const auto& segment = rows_.segments[s];
    const bool pairwise = segment.minus.rows > 0;
    pool_->for_parts(segment.plus.rows, kBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
      std::vector<T> r(kBlockRows);
      T* gradient = nullptr;
      if (adjoint) {
        std::vector<T>& sum = sums[static_cast<std::size_t>(worker)];
        sum.resize(chunks * chunk_size);
        gradient = sum.data();
      }
      for (std::size_t at = begin; at < end; at += kBlockRows) {
        const std::size_t count = std::min(kBlockRows, end - at);
        const std::size_t row = first_row + at;
        const std::uint16_t* const plus = plus_patterns_[s].data() + at * chunks;
        const std::uint16_t* const minus = pairwise ? minus_patterns_[s].data() + at * chunks : nullptr;
        if (forward) {
          std::fill_n(r.begin(), count, T(0));
          if (!nothing) {
            kernels.forward(segment.plus.data + at * segment.plus.stride, segment.plus.stride, count, dimension_,
                            weights.data(), chunks, plus, T(1), r.data());
            if (pairwise) {
              kernels.forward(segment.minus.data + at * segment.minus.stride, segment.minus.stride, count, dimension_,
                              weights.data(), chunks, minus, T(-1), r.data());
            }
          }
          if (!z_out.empty()) std::copy_n(r.begin(), count, z_out.begin() + static_cast<long>(row));
        }
        if (!adjoint) continue;
        for (std::size_t i = 0; i < count; ++i) r[i] = map != nullptr ? (*map)(row + i, r[i]) : r_in[row + i];
        kernels.adjoint(segment.plus.data + at * segment.plus.stride, segment.plus.stride, count, dimension_, r.data(),
                        chunks, plus, T(1), gradient);
        if (pairwise) {
          kernels.adjoint(segment.minus.data + at * segment.minus.stride, segment.minus.stride, count, dimension_,
                          r.data(), chunks, minus, T(-1), gradient);
        }
      }
    });
    first_row += segment.plus.rows;
  }
  for (std::size_t p = 0; adjoint && p < groups_; ++p) {
    const std::size_t from = p / kChunkGroups * chunk_size + p % kChunkGroups;
    for (std::size_t j = 0; j < dimension_; ++j) {
      T total = 0;
      for (const std::vector<T>& sum : sums) total += sum.empty() ? T(0) : sum[from + j * kChunkGroups];
      g(p, j) = total;
    }
  }
  ++passes_;
  const double sides = rows_.pairwise() ? 2 : 1;
  const double entries = sides * static_cast<double>(row_count_) * static_cast<double>(dimension_);
  flops_ += 2 * entries * static_cast<double>(groups_) * ((forward ? 1.0 : 0.0) + (adjoint ? 1.0 : 0.0));
}

template class GatedOperator<float>;
template class GatedOperator<double>;

}  // namespace coala
