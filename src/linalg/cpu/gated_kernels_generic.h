// Written once, compiled once per instruction set with that set's flags (see src/CMakeLists.txt): the compiler's vector
// types stand for whatever registers the set has. Included by the files kernels_<set>.cpp only. No library
// function is called at run time: its copy from here, with instructions that not every CPU has, could be the one that
// the linker keeps for the whole program.
#pragma once

#include <cstddef>
#include <cstdint>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "linalg/gated_kernels.h"

namespace coala {
namespace {  // every instruction set keeps its own copy: the linker must not merge them

// How numbers are stored, and how `Lanes` of them come into a register of the type that is computed with.

struct Single {
  using Stored = float;
  template <class Vector, int Lanes>
  static Vector load(const Stored* from) {
    return *reinterpret_cast<const Vector*>(from);
  }
};

struct Double {
  using Stored = double;
  template <class Vector, int Lanes>
  static Vector load(const Stored* from) {
    return *reinterpret_cast<const Vector*>(from);
  }
};

template <int Lanes>
struct Words {
  using Short __attribute__((vector_size(2 * Lanes), aligned(2), may_alias)) = std::uint16_t;
  using Long __attribute__((vector_size(4 * Lanes), may_alias)) = std::uint32_t;
};

struct BFloat {
  using Stored = std::uint16_t;
  template <class Vector, int Lanes>
  static Vector load(const Stored* from) {
    using Long = typename Words<Lanes>::Long;
    const auto words = *reinterpret_cast<const typename Words<Lanes>::Short*>(from);
    return reinterpret_cast<Vector>(__builtin_convertvector(words, Long) << 16);
  }
};

struct Half {
  using Stored = std::uint16_t;
  template <class Vector, int Lanes>
  static Vector load(const Stored* from) {
#ifdef __AVX512F__
    if constexpr (Lanes == 16) {
      constexpr __mmask16 kAll = 0xffff;  // the form without a mask makes GCC 12 warn of its own header
      const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
      return reinterpret_cast<Vector>(_mm512_maskz_cvtph_ps(kAll, words));
    }
#endif
#ifdef __F16C__
    if constexpr (Lanes == 8) {
      return reinterpret_cast<Vector>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
    }
#endif
    // As f16_to_f32 of core/half.h does, for finite numbers.
    using Long = typename Words<Lanes>::Long;
    const auto words = *reinterpret_cast<const typename Words<Lanes>::Short*>(from);
    const Long wide = __builtin_convertvector(words, Long);
    const Vector magnitude = reinterpret_cast<Vector>((wide & 0x7fffu) << 13) * 0x1p112f;
    return reinterpret_cast<Vector>(reinterpret_cast<Long>(magnitude) | ((wide & 0x8000u) << 16));
  }
};

/// @tparam T      that is computed with
/// @tparam Store  how the rows are stored
/// @tparam Bytes  width of a register
template <class T, class Store, int Bytes>
struct GatedKernelsGeneric {
  static constexpr int kLanes = Bytes / static_cast<int>(sizeof(T));
  using Stored = typename Store::Stored;
  using Vector __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias)) = T;

  template <int Value>
  struct Constant {
    static constexpr int value = Value;
  };

  static constexpr int kTablesAtOnce = 4;  ///< more would not fit into the first-level cache together
  static constexpr int kSums = 4;          ///< independent sums hide the latency of the additions
  static constexpr int kRowsAtOnce = 4;    ///< that share what they read of an entry
  static constexpr int kSecondLevel = 2;   ///< where rows ahead wait: the tables fill the first level

  static Vector load(const T* from) { return *reinterpret_cast<const Vector*>(from); }
  static void store(T* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
  static Vector load_row(const Stored* from) { return Store::template load<Vector, kLanes>(from); }

  /// The last `count` < kLanes numbers of a row, zeros behind them.
  static Vector load_tail(const Stored* from, std::size_t count) {
    Stored lanes[kLanes] = {};
    for (std::size_t k = 0; k < count; ++k) lanes[k] = from[k];
    return load_row(lanes);
  }

  static const Stored* row_at(const std::byte* const* rows, std::size_t i, std::size_t column) {
    return reinterpret_cast<const Stored*>(rows[i]) + column;
  }

  static T sum(Vector v) {
    T lanes[kLanes];
    store(lanes, v);
    for (int width = kLanes / 2; width > 0; width /= 2) {
      for (int k = 0; k < width; ++k) lanes[k] += lanes[k + width];
    }
    return lanes[0];
  }

  /// The columns of a block that a row has: whole registers, and what is left.
  struct Columns {
    std::size_t vectors;
    std::size_t tail;
  };

  static Columns columns_of(const TableLayout& layout, std::size_t block) {
    const std::size_t first = block * layout.block_columns;
    const std::size_t left = layout.dimension - first;
    const std::size_t own = left < layout.block_columns ? left : layout.block_columns;
    return {own / kLanes, own % kLanes};
  }

  /// Fetches the rows ahead line by line, evenly over the steps of the work at hand.
  struct Fetcher {
    const std::byte* const* row;
    std::size_t row_lines;
    std::size_t lines;  ///< of all rows, less those fetched
    std::size_t share;  ///< of the lines of all rows that a step fetches, times steps
    std::size_t steps;
    std::size_t line = 0;  ///< of the row
    std::size_t credit = 0;

    Fetcher(const RowsAhead& ahead, std::size_t dimension, std::size_t all_steps)
        : row(ahead.rows),
          row_lines((dimension * sizeof(Stored) + 63) / 64),
          lines(ahead.count * row_lines),
          share(lines),
          steps(all_steps) {}

    void step() {
      for (credit += share; credit >= steps && lines > 0; credit -= steps, --lines) {
        __builtin_prefetch(*row + 64 * line, 0, kSecondLevel);
        if (++line < row_lines) continue;
        line = 0;
        ++row;
      }
    }
  };

  /// Adds each row's products, lane by lane, to its own partial sums [rows]: what a register holds is added up once a
  /// row and not once a block of columns.
  /// @tparam Vectors  whole registers of the columns, for loops without a count; 0: as `columns` says
  template <int Tables, int Vectors>
  static void forward_rows(const std::byte* const* x, std::size_t rows, std::size_t column, Columns columns,
                           const T* tables, const TableLayout& layout, const std::uint8_t* codes, Vector* partial,
                           Fetcher& fetcher) {
    const std::size_t vectors = Vectors > 0 ? Vectors : columns.vectors;
    for (std::size_t i = 0; i < rows; ++i) {
      fetcher.step();
      const Stored* const row = row_at(x, i, column);
      const T* entry[Tables];
      for (int t = 0; t < Tables; ++t) {
        entry[t] = tables +
                   (static_cast<std::size_t>(t) * layout.entries + codes[i * layout.tables + t]) * layout.block_columns;
      }
      const auto weights = [&](std::size_t v) {
        Vector w = load(entry[0] + v * kLanes);
        for (int t = 1; t < Tables; ++t) w += load(entry[t] + v * kLanes);
        return w;
      };
      Vector acc[kSums] = {};
      std::size_t v = 0;
#pragma GCC unroll 4
      for (; v + kSums <= vectors; v += kSums) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < kSums; ++k) acc[k] += load_row(row + (v + k) * kLanes) * weights(v + k);
      }
      for (; v < vectors; ++v) acc[0] += load_row(row + v * kLanes) * weights(v);
      if (columns.tail > 0) acc[1] += load_tail(row + v * kLanes, columns.tail) * weights(v);
      partial[i] += (acc[0] + acc[1]) + (acc[2] + acc[3]);
    }
  }

  /// The same where all rows have the one entry that there is: a register of it serves several rows.
  static void forward_alike(const std::byte* const* x, std::size_t rows, std::size_t column, Columns columns,
                            const T* entry, Vector* partial, Fetcher& fetcher) {
    const auto work = [&](auto together, std::size_t i) {
      constexpr int kRows = decltype(together)::value;
      const Stored* row[kRows];
      Vector acc[kRows];
      for (int k = 0; k < kRows; ++k) {
        fetcher.step();
        row[k] = row_at(x, i + k, column);
        acc[k] = partial[i + k];
      }
      std::size_t v = 0;
      for (; v < columns.vectors; ++v) {
        const Vector w = load(entry + v * kLanes);
#pragma GCC unroll 4
        for (int k = 0; k < kRows; ++k) acc[k] += load_row(row[k] + v * kLanes) * w;
      }
      for (int k = 0; k < kRows; ++k) {
        if (columns.tail > 0) acc[k] += load_tail(row[k] + v * kLanes, columns.tail) * load(entry + v * kLanes);
        partial[i + k] = acc[k];
      }
    };
    std::size_t i = 0;
    for (; i + kRowsAtOnce <= rows; i += kRowsAtOnce) work(Constant<kRowsAtOnce>{}, i);
    for (; i < rows; ++i) work(Constant<1>{}, i);
  }

  template <int Tables, int Vectors>
  static void adjoint_rows(const std::byte* const* x, std::size_t rows, std::size_t column, Columns columns, T* tables,
                           const TableLayout& layout, const std::uint8_t* codes, T sign, const T* r, Fetcher& fetcher) {
    const std::size_t vectors = Vectors > 0 ? Vectors : columns.vectors;
    for (std::size_t i = 0; i < rows; ++i) {
      fetcher.step();
      const Stored* const row = row_at(x, i, column);
      const Vector factor = Vector{} + sign * r[i];
      T* entry[Tables];
      for (int t = 0; t < Tables; ++t) {
        entry[t] = tables +
                   (static_cast<std::size_t>(t) * layout.entries + codes[i * layout.tables + t]) * layout.block_columns;
      }
      const auto add = [&](std::size_t v, Vector numbers) {
        const Vector term = factor * numbers;
        for (int t = 0; t < Tables; ++t) store(entry[t] + v * kLanes, load(entry[t] + v * kLanes) + term);
      };
      std::size_t v = 0;
#pragma GCC unroll 8
      for (; v < vectors; ++v) add(v, load_row(row + v * kLanes));
      if (columns.tail > 0) add(v, load_tail(row + v * kLanes, columns.tail));
    }
  }

  /// The same where all rows have the one entry that there is: it is read and written once for several rows.
  static void adjoint_alike(const std::byte* const* x, std::size_t rows, std::size_t column, Columns columns, T* entry,
                            T sign, const T* r, Fetcher& fetcher) {
    const auto work = [&](auto together, std::size_t i) {
      constexpr int kRows = decltype(together)::value;
      const Stored* row[kRows];
      Vector factor[kRows];
      for (int k = 0; k < kRows; ++k) {
        fetcher.step();
        row[k] = row_at(x, i + k, column);
        factor[k] = Vector{} + sign * r[i + k];
      }
      std::size_t v = 0;
      for (; v < columns.vectors; ++v) {
        Vector sum = load(entry + v * kLanes);
#pragma GCC unroll 4
        for (int k = 0; k < kRows; ++k) sum += factor[k] * load_row(row[k] + v * kLanes);
        store(entry + v * kLanes, sum);
      }
      if (columns.tail == 0) return;
      Vector sum = load(entry + v * kLanes);
      for (int k = 0; k < kRows; ++k) sum += factor[k] * load_tail(row[k] + v * kLanes, columns.tail);
      store(entry + v * kLanes, sum);
    };
    std::size_t i = 0;
    for (; i + kRowsAtOnce <= rows; i += kRowsAtOnce) work(Constant<kRowsAtOnce>{}, i);
    for (; i < rows; ++i) work(Constant<1>{}, i);
  }

  /// Blocks of 128 columns of floats are the usual ones in the widest registers.
  static constexpr int kUsualVectors = 8;

  /// Calls body(number of tables, registers of the columns or 0, columns, first column, first table, its place in
  /// memory, fetcher) for every block of columns and up to kTablesAtOnce tables of it; the first two are types.
  template <class Body>
  static void for_blocks(std::size_t rows, const TableLayout& layout, const RowsAhead& ahead, const Body& body) {
    const std::size_t sweeps = (layout.tables + kTablesAtOnce - 1) / kTablesAtOnce;
    Fetcher fetcher(ahead, layout.dimension, layout.blocks * sweeps * rows);
    for (std::size_t block = 0; block < layout.blocks; ++block) {
      const Columns columns = columns_of(layout, block);
      const bool usual = columns.vectors == kUsualVectors && columns.tail == 0;
      for (std::size_t t = 0; t < layout.tables; t += kTablesAtOnce) {
        const std::size_t place = (block * layout.tables + t) * layout.entries * layout.block_columns;
        const auto run = [&](auto tables) {
          if (usual) {
            body(tables, Constant<kUsualVectors>{}, columns, block * layout.block_columns, t, place, fetcher);
          } else {
            body(tables, Constant<0>{}, columns, block * layout.block_columns, t, place, fetcher);
          }
        };
        switch (layout.tables - t) {
          case 1:
            run(Constant<1>{});
            break;
          case 2:
            run(Constant<2>{});
            break;
          case 3:
            run(Constant<3>{});
            break;
          default:
            run(Constant<4>{});
        }
      }
    }
  }

  static void forward(const std::byte* const* x, std::size_t rows, const TableLayout& layout, const T* tables,
                      const std::uint8_t* codes, T sign, T* z, const RowsAhead& ahead) {
    Vector partial[kMostKernelRows];
    for (std::size_t i = 0; i < rows; ++i) partial[i] = Vector{};
    for_blocks(rows, layout, ahead,
               [&](auto count, auto vectors, Columns columns, std::size_t column, std::size_t table, std::size_t place,
                   Fetcher& fetcher) {
                 if (layout.entries == 1) {
                   forward_alike(x, rows, column, columns, tables + place, partial, fetcher);
                 } else {
                   forward_rows<decltype(count)::value, decltype(vectors)::value>(
                       x, rows, column, columns, tables + place, layout, codes + table, partial, fetcher);
                 }
               });
    for (std::size_t i = 0; i < rows; ++i) z[i] += sign * sum(partial[i]);
  }

  static void adjoint(const std::byte* const* x, std::size_t rows, const TableLayout& layout, T* tables,
                      const std::uint8_t* codes, T sign, const T* r, const RowsAhead& ahead) {
    for_blocks(rows, layout, ahead,
               [&](auto count, auto vectors, Columns columns, std::size_t column, std::size_t table, std::size_t place,
                   Fetcher& fetcher) {
                 if (layout.entries == 1) {
                   adjoint_alike(x, rows, column, columns, tables + place, sign, r, fetcher);
                 } else {
                   adjoint_rows<decltype(count)::value, decltype(vectors)::value>(
                       x, rows, column, columns, tables + place, layout, codes + table, sign, r, fetcher);
                 }
               });
  }
};

template <class T, class Store, int Bytes>
constexpr GatedKernels<T> gated_kernels_generic() {
  using Kernels = GatedKernelsGeneric<T, Store, Bytes>;
  return {&Kernels::forward, &Kernels::adjoint};
}

}  // namespace
}  // namespace coala
