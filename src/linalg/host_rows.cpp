#include "linalg/host_rows.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace coala {
namespace {

/// The block of X stays in the second-level cache between the product and its adjoint, while the next one arrives
/// there.
constexpr std::size_t kBlockBytes = 192 * 1024;

std::size_t block_rows(std::size_t row_bytes) {
  const std::size_t fitting = kBlockBytes / std::max<std::size_t>(row_bytes, 1);
  return std::clamp<std::size_t>(fitting, 16, kMostKernelRows);
}

/// One for rows that a thread is done with before another would have woken up; enough for every thread of a large
/// machine where there are rows for them; few where their sums would cost more than the rows. A power of two, so that
/// two, four, eight threads have equal shares.
std::size_t chunks_for(std::size_t rows, std::size_t dimension) {
  constexpr std::size_t kWorthAThread = 64 * 1024;
  constexpr std::size_t kWorthASum = 4 * 1024 * 1024;
  constexpr std::size_t kUsual = 8;
  constexpr std::size_t kMost = 64;
  const std::size_t numbers = rows * dimension;
  const std::size_t most = std::clamp(std::bit_floor(numbers / kWorthASum), kUsual, kMost);
  return std::clamp<std::size_t>(std::bit_floor(numbers / kWorthAThread), 1, most);
}

bool always_open(const Matrix<std::uint8_t>& pattern, std::size_t group) {
  for (std::size_t i = 0; i < pattern.rows(); ++i) {
    if (pattern(i, group) == 0) return false;
  }
  return true;
}

/// The entries that the rows of a pattern [n, P] pick, [n][tables].
std::vector<std::uint8_t> codes_of(const Matrix<std::uint8_t>& pattern, const std::vector<std::size_t>& groups,
                                   const TableLayout& layout) {
  const auto bits = static_cast<std::size_t>(std::countr_zero(layout.entries));
  std::vector<std::uint8_t> codes(pattern.rows() * layout.tables);
  for (std::size_t i = 0; i < pattern.rows(); ++i) {
    for (std::size_t k = 0; k < groups.size(); ++k) {
      const unsigned open = pattern(i, groups[k]) != 0 ? 1U : 0U;
      codes[i * layout.tables + k / bits] |= static_cast<std::uint8_t>(open << (k % bits));
    }
  }
  return codes;
}

/// z_i += sign * (the shifts of row i's entries)
template <class T>
void add_shifts(const TableLayout& layout, const T* shifts, const std::uint8_t* codes, T sign, std::span<T> z) {
  for (std::size_t t = 0; t < layout.tables; ++t, shifts += layout.entries) {
    for (std::size_t i = 0; i < z.size(); ++i) z[i] += sign * shifts[codes[i * layout.tables + t]];
  }
}

/// (each of row i's entries) += sign * r_i
template <class T>
void sum_residuals(const TableLayout& layout, const std::uint8_t* codes, T sign, std::span<const T> r, T* sums) {
  for (std::size_t t = 0; t < layout.tables; ++t, sums += layout.entries) {
    for (std::size_t i = 0; i < r.size(); ++i) sums[codes[i * layout.tables + t]] += sign * r[i];
  }
}

std::size_t rows_of(const GatedData& data) {
  std::size_t count = 0;
  for (const auto& segment : data.segments) count += segment.plus.rows();
  return count;
}
std::size_t groups_of(const GatedData& data) {
  return data.segments.empty() ? 0 : data.segments.front().plus_open.cols();
}
std::size_t dimension_of(const GatedData& data) {
  return data.segments.empty() ? 0 : data.segments.front().plus.cols();
}
std::uint64_t bytes_of(const GatedData& data) {
  std::uint64_t sum = 0;
  for (const auto& segment : data.segments) sum += segment.plus.bytes() + segment.minus.bytes();
  return sum;
}

}  // namespace

template <class T>
HostRows<T>::HostRows(GatedData data, ThreadPool& pool)
    : PassRows(rows_of(data), groups_of(data), dimension_of(data), bytes_of(data)),
      data_(std::move(data)),
      chunks_(chunks_for(rows(), dimension())),
      pool_(&pool) {
  for (std::size_t p = 0; p < groups(); ++p) {
    const bool everywhere = std::ranges::all_of(data_.segments, [p](const GatedData::Segment& segment) {
      return always_open(segment.plus_open, p) && always_open(segment.minus_open, p);
    });
    (everywhere ? open_groups_ : table_groups_).push_back(p);
  }
  layout_ = table_layout(dimension(), table_groups_.size(), sizeof(T));
  for (GatedData::Segment& segment : data_.segments) {
    plus_codes_.push_back(codes_of(segment.plus_open, table_groups_, layout_));
    minus_codes_.push_back(codes_of(segment.minus_open, table_groups_, layout_));
    segment.plus_open = {};  // the codes say the same
    segment.minus_open = {};
  }
  gradient_tables_.resize(chunks_);
  residual_sums_.resize(chunks_);
}

template <class T>
GatedData HostRows<T>::data() const {
  const auto bits = static_cast<std::size_t>(std::countr_zero(layout_.entries));
  const auto pattern = [&](const std::vector<std::uint8_t>& codes, std::size_t count) {
    Matrix<std::uint8_t> open(count, count > 0 ? groups() : 0);
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::size_t p : open_groups_) open(i, p) = 1;
      for (std::size_t k = 0; k < table_groups_.size(); ++k) {
        open(i, table_groups_[k]) = codes[i * layout_.tables + k / bits] >> (k % bits) & 1;
      }
    }
    return open;
  };
  GatedData result = data_;
  for (std::size_t s = 0; s < result.segments.size(); ++s) {
    GatedData::Segment& segment = result.segments[s];
    segment.plus_open = pattern(plus_codes_[s], segment.plus.rows());
    segment.minus_open = pattern(minus_codes_[s], segment.minus.rows());
  }
  return result;
}

template <class T>
void HostRows<T>::fill_tables(MatrixView<const T> w) {
  const auto bits = static_cast<std::size_t>(std::countr_zero(layout_.entries));
  const std::size_t width = layout_.block_columns;
  Matrix<T> scaled;
  if (shifted()) {
    fill_shifts(w);
    scaled = Matrix<T>(w.rows, w.cols);
    for (std::size_t p = 0; p < w.rows; ++p) {
      for (std::size_t j = 0; j < w.cols; ++j) scaled(p, j) = w(p, j) * static_cast<T>(data_.scale[j]);
    }
    w = scaled.view();
  }
  weight_tables_.assign(layout_.size(), T(0));
  for (std::size_t block = 0; block < layout_.blocks; ++block) {
    const std::size_t first = block * width;
    const std::size_t columns = std::min(width, dimension() - std::min(first, dimension()));
    for (std::size_t t = 0; t < layout_.tables; ++t) {
      T* const table = weight_tables_.data() + (block * layout_.tables + t) * layout_.entries * width;
      for (std::size_t k = 0; t == 0 && k < open_groups_.size(); ++k) {  // what every row has, the first table adds
        for (std::size_t j = 0; j < columns; ++j) table[j] += w(open_groups_[k], first + j);
      }
      for (std::size_t e = 1; e < layout_.entries; ++e) {
        const std::size_t k = t * bits + static_cast<std::size_t>(std::countr_zero(e));
        const bool has_weights = k < table_groups_.size();
        const T* const before = table + (e & (e - 1)) * width;
        const T* const own = has_weights ? w.data + table_groups_[k] * w.stride + first : nullptr;
        T* const to = table + e * width;
        for (std::size_t j = 0; j < columns; ++j) to[j] = before[j] + (own != nullptr ? own[j] : T(0));
      }
    }
  }
}

template <class T>
void HostRows<T>::fill_shifts(MatrixView<const T> w) {
  const auto bits = static_cast<std::size_t>(std::countr_zero(layout_.entries));
  const auto shift = [&](std::size_t group) {
    double sum = 0;
    for (std::size_t j = 0; j < dimension(); ++j) {
      sum -=
          static_cast<double>(w(group, j)) * static_cast<double>(data_.scale[j]) * static_cast<double>(data_.mean[j]);
    }
    return sum;
  };
  double always = 0;
  for (const std::size_t group : open_groups_) always += shift(group);
  std::vector<double> own(layout_.tables * bits);
  for (std::size_t k = 0; k < table_groups_.size(); ++k) own[k] = shift(table_groups_[k]);
  shifts_.resize(layout_.tables * layout_.entries);
  for (std::size_t t = 0; t < layout_.tables; ++t) {
    for (std::size_t e = 0; e < layout_.entries; ++e) {
      double sum = t == 0 ? always : 0;
      for (std::size_t k = 0; k < bits; ++k) sum += (e >> k & 1) != 0 ? own[t * bits + k] : 0;
      shifts_[t * layout_.entries + e] = static_cast<T>(sum);
    }
  }
}

template <class T>
void HostRows<T>::collect(MatrixView<T> g) {
  const auto bits = static_cast<std::size_t>(std::countr_zero(layout_.entries));
  const std::size_t width = layout_.block_columns;
  const std::size_t table_size = layout_.entries * width;
  // One table of one block of columns at a time: their sums do not meet. A few small ones are not worth a thread.
  const std::size_t grain = std::max<std::size_t>(1, 64 * 1024 / std::max<std::size_t>(1, table_size * chunks_));
  pool_->for_parts(layout_.blocks * layout_.tables, grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end; ++at) {
      const std::size_t first = at / layout_.tables * width;
      const std::size_t t = at % layout_.tables;
      const std::size_t columns = std::min(width, dimension() - std::min(first, dimension()));
      std::vector<T> total(table_size);
      for (const AlignedVector<T>& chunk : gradient_tables_) {
        if (chunk.empty()) continue;  // a chunk without rows
        const T* const from = chunk.data() + at * table_size;
        for (std::size_t k = 0; k < table_size; ++k) total[k] += from[k];
      }
      std::vector<double> residuals(layout_.entries);
      for (const std::vector<T>& chunk : residual_sums_) {
        for (std::size_t e = 0; e < layout_.entries && !chunk.empty(); ++e) {
          residuals[e] += static_cast<double>(chunk[t * layout_.entries + e]);
        }
      }
      const auto add_entries = [&](std::size_t group, std::size_t mask) {
        T* const to = g.data + group * g.stride + first;
        std::fill_n(to, columns, T(0));
        double residual = 0;
        for (std::size_t e = 0; e < layout_.entries; ++e) {
          if ((e & mask) != mask) continue;
          for (std::size_t j = 0; j < columns; ++j) to[j] += total[e * width + j];
          residual += residuals[e];
        }
        if (!shifted()) return;
        for (std::size_t j = 0; j < columns; ++j) {
          const double scale = static_cast<double>(data_.scale[first + j]);
          const double mean = static_cast<double>(data_.mean[first + j]);
          // A column that is switched off may hold anything, and its sum anything, too.
          to[j] = scale != 0 ? static_cast<T>(scale * (static_cast<double>(to[j]) - mean * residual)) : T(0);
        }
      };
      for (std::size_t k = 0; t == 0 && k < open_groups_.size(); ++k) add_entries(open_groups_[k], 0);
      for (std::size_t k = t * bits; k < std::min((t + 1) * bits, table_groups_.size()); ++k) {
        add_entries(table_groups_[k], std::size_t{1} << (k % bits));
      }
    }
  });
}

template <class T>
void HostRows<T>::release_tables() {
  for (AlignedVector<T>& tables : gradient_tables_) AlignedVector<T>().swap(tables);
}

template <class T>
void HostRows<T>::run(MatrixView<const T> w, const BlockMap* map, std::span<T> z_out, std::span<const T> r_in,
                      MatrixView<T> g) {
  const bool forward = w.data != nullptr;
  const bool adjoint = g.data != nullptr;
  if (forward) fill_tables(w);
  for (AlignedVector<T>& tables : gradient_tables_) tables.clear();
  for (std::vector<T>& sums : residual_sums_) sums.clear();

  std::size_t first_row = 0;
  for (std::size_t s = 0; s < data_.segments.size(); ++s) {
    const auto& segment = data_.segments[s];
    const bool pairwise = segment.minus.rows() > 0;
    const std::size_t row_bytes = dimension() * dtype_bytes(segment.plus.dtype());
    const std::size_t block = block_rows(row_bytes);
    const std::size_t blocks = (segment.plus.rows() + block - 1) / block;
    const auto work = [&](std::size_t chunk) {
      const std::size_t begin = blocks * chunk / chunks_ * block;
      const std::size_t end = std::min(blocks * (chunk + 1) / chunks_ * block, segment.plus.rows());
      if (begin >= end) return;
      std::vector<T> r(block);
      AlignedVector<T>& gradient = gradient_tables_[chunk];
      std::vector<T>& residual_sums = residual_sums_[chunk];
      if (adjoint) gradient.resize(layout_.size());
      if (adjoint && shifted()) residual_sums.resize(layout_.tables * layout_.entries);
      for (std::size_t at = begin; at < end; at += block) {
        const std::size_t count = std::min(block, end - at);
        const std::size_t row = first_row + at;
        struct Side {
          const StoredRows& x;
          const std::vector<std::uint8_t>& all_codes;
          T sign;
        };
        const Side sides[] = {{segment.plus, plus_codes_[s], T(1)}, {segment.minus, minus_codes_[s], T(-1)}};
        const std::span<const Side> used(sides, pairwise ? 2 : 1);
        // The next block: one half arrives during the product, the other during the adjoint.
        const std::size_t next_count = std::min(block, end - (at + count));
        const std::size_t first_half = !forward ? 0 : adjoint ? next_count / 2 : next_count;
        const auto ahead = [&](const Side& side, std::size_t from, std::size_t to) {
          return RowsAhead{side.x.pointers() + at + count + from, to - from};
        };
        if (forward) {
          std::fill_n(r.begin(), count, T(0));
          for (const Side& side : used) {
            const std::uint8_t* const codes = side.all_codes.data() + at * layout_.tables;
            gated_kernels<T>(side.x.dtype())
                .forward(side.x.pointers() + at, count, layout_, weight_tables_.data(), codes, side.sign, r.data(),
                         ahead(side, 0, first_half));
            if (shifted()) add_shifts(layout_, shifts_.data(), codes, side.sign, std::span<T>(r.data(), count));
          }
          if (!z_out.empty()) std::copy_n(r.begin(), count, z_out.begin() + static_cast<long>(row));
        }
        if (!adjoint) continue;
        if (map != nullptr) {
          (*map)(chunk, row, std::span<T>(r.data(), count));
        } else {
          std::copy_n(r_in.begin() + static_cast<long>(row), count, r.begin());
        }
        for (const Side& side : used) {
          const std::uint8_t* const codes = side.all_codes.data() + at * layout_.tables;
          gated_kernels<T>(side.x.dtype())
              .adjoint(side.x.pointers() + at, count, layout_, gradient.data(), codes, side.sign, r.data(),
                       ahead(side, first_half, next_count));
          if (shifted()) {
            sum_residuals(layout_, codes, side.sign, std::span<const T>(r.data(), count), residual_sums.data());
          }
        }
      }
    };
    pool_->for_parts(chunks_, 1, [&](int, std::size_t begin, std::size_t end) {
      for (std::size_t chunk = begin; chunk < end; ++chunk) work(chunk);
    });
    first_row += segment.plus.rows();
  }
  if (adjoint) collect(g);
  const bool pairwise = !data_.segments.empty() && data_.segments.front().minus.rows() > 0;
  const double entries = (pairwise ? 2.0 : 1.0) * static_cast<double>(rows() * dimension());
  // A product and an addition per entry of X, and an addition for each further table.
  count_pass(entries * static_cast<double>(1 + layout_.tables) * ((forward ? 1.0 : 0.0) + (adjoint ? 1.0 : 0.0)));
}

template class HostRows<float>;
template class HostRows<double>;

}  // namespace coala
