// Written once, compiled once per instruction set; see gated_kernels_generic.h, whose rules hold here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "linalg/cpu/gated_kernels_generic.h"
#include "linalg/dense_kernels.h"

namespace coala {
namespace {

/// Blocks of 32 numbers of 8 bits behind the half-precision number that is their common factor: ggml's Q8_0.
struct Blocks8 {
  static constexpr std::size_t kNumbers = 32;
  static constexpr std::size_t kFactorBytes = 2;
  static constexpr std::size_t kBytes = kFactorBytes + kNumbers;

  /// Lanes numbers, without the factor. (GCC 12 converts whole registers of bytes one by one.)
  template <class Vector, int Lanes>
  static Vector load(const std::byte* from) {
#ifdef __AVX512F__
    if constexpr (Lanes == 16) {
      constexpr __mmask16 kAll = 0xffff;  // as for Half
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      return reinterpret_cast<Vector>(_mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepi8_epi32(kAll, bytes)));
    }
#endif
    Vector numbers{};
    for (int i = 0; i < Lanes; ++i) numbers[i] = static_cast<float>(static_cast<std::int8_t>(from[i]));
    return numbers;
  }

  static float factor_of(const std::byte* block) {
    using Word __attribute__((aligned(1), may_alias)) = std::uint16_t;
    const std::uint16_t bits = *reinterpret_cast<const Word*>(block);
#ifdef __F16C__
    return _cvtsh_ss(bits);
#else
    using Two __attribute__((vector_size(8))) = float;
    const std::uint16_t twice[2] = {bits, bits};
    return Half::load<Two, 2>(twice)[0];
#endif
  }
};

/// @tparam T, Word  float and an integer as wide (parameters, because GCC 12 ignores the attributes below on types that
///                  are none)
/// @tparam Bytes    width of a register
/// @tparam RowTile  rows per tile: with two registers of columns each, and two for the panel, they fill the registers
template <class T, class Word, int Bytes, std::size_t RowTile>
struct DenseKernelsGeneric {
  static constexpr std::size_t kLanes = Bytes / sizeof(float);
  static constexpr std::size_t kVectors = 2;                    // of columns at a time
  static constexpr std::size_t kDotRows = Bytes == 64 ? 6 : 4;  // of a tile of dots
  using Vector __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias)) = T;
  using Bits __attribute__((vector_size(Bytes), aligned(sizeof(T)), may_alias)) = Word;

  static Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
  static void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
  static Vector all(float value) { return value - Vector{}; }

  template <std::size_t... I>
  static Vector zip_low(Vector a, Vector b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, (I % 2 == 0 ? int(I / 2) : int(kLanes + I / 2))...);
  }
  template <std::size_t... I>
  static Vector zip_high(Vector a, Vector b, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, b, (I % 2 == 0 ? int(kLanes / 2 + I / 2) : int(kLanes + kLanes / 2 + I / 2))...);
  }
  template <std::size_t... I>
  static Vector exchange_halves(Vector a, std::index_sequence<I...>) {
    return __builtin_shufflevector(a, a, int((I + kLanes / 2) % kLanes)...);
  }
  /// Turns over a block of kLanes registers: each round of perfect shuffles exchanges one bit of row and column number.
  static void transpose(Vector (&block)[kLanes]) {
    constexpr auto kIndices = std::make_index_sequence<kLanes>{};
    for (std::size_t round = 1; round < kLanes; round *= 2) {
      Vector next[kLanes];
      for (std::size_t i = 0; i < kLanes / 2; ++i) {
        next[2 * i] = zip_low(block[i], block[i + kLanes / 2], kIndices);
        next[2 * i + 1] = zip_high(block[i], block[i + kLanes / 2], kIndices);
      }
      for (std::size_t i = 0; i < kLanes; ++i) block[i] = next[i];
    }
  }

  static void pack_rows(const float* x, std::size_t stride, std::size_t rows, std::size_t k, float* packed) {
    for (std::size_t begin = 0; begin < rows; begin += RowTile, packed += k * RowTile) {
      const std::size_t here = rows - begin < RowTile ? rows - begin : RowTile;
      for (std::size_t r = 0; r < RowTile; ++r) {
        const float* row = x + (begin + r) * stride;
        for (std::size_t i = 0; i < k; ++i) packed[i * RowTile + r] = r < here ? row[i] : 0;
      }
    }
  }

  template <class Store>
  static void pack_panel(const std::byte* w, std::size_t stride, std::size_t columns, std::size_t k, float* panel) {
    using Stored = typename Store::Stored;
    for (std::size_t c = 0; c < kPanelColumns; c += kLanes) {
      std::size_t i = 0;
      for (; i + kLanes <= k; i += kLanes) {
        Vector block[kLanes];
        for (std::size_t j = 0; j < kLanes; ++j) {
          block[j] = Vector{};
          if (c + j < columns) {
            const auto* row = reinterpret_cast<const Stored*>(w + (c + j) * stride);
            block[j] = Store::template load<Vector, kLanes>(row + i);
          }
        }
        transpose(block);
        for (std::size_t j = 0; j < kLanes; ++j) store(panel + (i + j) * kPanelColumns + c, block[j]);
      }
      for (; i < k; ++i) {  // what does not fill a register, by way of one
        for (std::size_t j = 0; j < kLanes; ++j) {
          Stored one[kLanes] = {};
          if (c + j < columns) one[0] = reinterpret_cast<const Stored*>(w + (c + j) * stride)[i];
          panel[i * kPanelColumns + c + j] = Store::template load<Vector, kLanes>(one)[0];
        }
      }
    }
  }

  /// Rows rows of a packed tile times kVectors registers of a panel's columns.
  template <std::size_t Rows>
  static void tile(const float* __restrict packed, const float* __restrict panel, std::size_t k, float* c,
                   std::size_t stride, bool accumulate) {
    Vector sum[Rows][kVectors];
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) {
        sum[r][v] = accumulate ? load(c + r * stride + v * kLanes) : Vector{};
      }
    }
    for (std::size_t i = 0; i < k; ++i) {
      Vector w[kVectors];
      for (std::size_t v = 0; v < kVectors; ++v) w[v] = load(panel + i * kPanelColumns + v * kLanes);
#pragma GCC unroll 16
      for (std::size_t r = 0; r < Rows; ++r) {
        const Vector x = all(packed[i * RowTile + r]);
        for (std::size_t v = 0; v < kVectors; ++v) sum[r][v] += x * w[v];
      }
    }
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t v = 0; v < kVectors; ++v) store(c + r * stride + v * kLanes, sum[r][v]);
    }
  }

  using Tile = void (*)(const float*, const float*, std::size_t, float*, std::size_t, bool);
  template <std::size_t... Rows>
  static Tile tile_of(std::size_t rows, std::index_sequence<Rows...>) {
    static constexpr Tile kTiles[] = {&tile<Rows + 1>...};
    return kTiles[rows - 1];
  }

  static void product(const float* packed, std::size_t rows, const float* panel, std::size_t columns, std::size_t k,
                      float* c, std::size_t stride, bool accumulate) {
    for (std::size_t begin = 0; begin < rows; begin += RowTile, packed += k * RowTile) {
      const std::size_t here = rows - begin < RowTile ? rows - begin : RowTile;
      const Tile multiply = tile_of(here, std::make_index_sequence<RowTile>{});
      for (std::size_t column = 0; column < columns; column += kVectors * kLanes) {
        float* to = c + begin * stride + column;
        if (columns - column >= kVectors * kLanes) {
          multiply(packed, panel + column, k, to, stride, accumulate);
          continue;
        }
        // The last columns, by way of a whole tile.
        float whole[RowTile * kVectors * kLanes] = {};
        const std::size_t width = columns - column;
        for (std::size_t r = 0; accumulate && r < here; ++r) {
          for (std::size_t j = 0; j < width; ++j) whole[r * kVectors * kLanes + j] = to[r * stride + j];
        }
        multiply(packed, panel + column, k, whole, kVectors * kLanes, accumulate);
        for (std::size_t r = 0; r < here; ++r) {
          for (std::size_t j = 0; j < width; ++j) to[r * stride + j] = whole[r * kVectors * kLanes + j];
        }
      }
    }
  }

  /// The sum of the lanes of each of Count registers, in the result's first lanes in order. Every round adds the upper
  /// half of the lanes to the lower, of two registers at a time; where only half of the lanes are wanted, the last
  /// round is within one register. A sum is added up in the same order either way.
  template <std::size_t Count>
  static Vector sums_of(Vector (&block)[kLanes]) {
    static_assert(Count == kLanes || Count == kLanes / 2);
    constexpr auto kIndices = std::make_index_sequence<kLanes>{};
    for (std::size_t count = Count / 2; count > 0; count /= 2) {
      for (std::size_t i = 0; i < count; ++i) {
        block[i] = zip_low(block[i], block[i + count], kIndices) + zip_high(block[i], block[i + count], kIndices);
      }
    }
    return Count == kLanes ? block[0] : block[0] + exchange_halves(block[0], kIndices);
  }

  /// Columns of a tile of so many rows: the sums, and what they are sums of, fit into the registers.
  static constexpr std::size_t dot_columns(std::size_t rows) {
    constexpr std::size_t kSmall[] = {8, 4, 4, 3};
    constexpr std::size_t kLarge[] = {8, 8, 5, 6, 5, 4};
    return Bytes == 64 ? kLarge[rows - 1] : kSmall[rows - 1];
  }

  /// What a tile of dots does with its weights, besides reading them: nothing; keep them as single numbers, for the
  /// rows that follow; or they are such numbers, and what follows them in memory is nothing to fetch.
  enum class Weights { Read, Keep, Kept };
  /// Numbers between one row of kept weights and the next.
  static constexpr std::size_t kept_stride(std::size_t k) {
    return (k + kLanes - 1) / kLanes * kLanes;
  }

  template <class Store>
  static constexpr bool kInBlocks = std::is_same_v<Store, Blocks8>;
  /// Numbers of a stored row that are read in one go.
  template <class Store>
  static constexpr std::size_t kStep = kInBlocks<Store> ? Blocks8::kNumbers : kLanes;

  /// Where number i, the first of a step, is.
  template <class Store>
  static const std::byte* stored_at(const std::byte* row, std::size_t i) {
    if constexpr (kInBlocks<Store>) {
      return row + i / Blocks8::kNumbers * Blocks8::kBytes;
    } else {
      return row + i * sizeof(typename Store::Stored);
    }
  }
  /// The part'th register of a step.
  template <class Store>
  static Vector load_stored(const std::byte* step, std::size_t part) {
    if constexpr (kInBlocks<Store>) {
      const std::byte* numbers = step + Blocks8::kFactorBytes + part * kLanes;
      return Blocks8::load<Vector, static_cast<int>(kLanes)>(numbers) * Blocks8::factor_of(step);
    } else {
      return Store::template load<Vector, kLanes>(reinterpret_cast<const typename Store::Stored*>(step));
    }
  }

  /// Rows rows times Columns rows of stored weights; the registers of sums run along k.
  /// @param kept  where the weights are kept, if they are
  template <class Store, std::size_t Rows, std::size_t Columns, Weights kWeights>
  static void dots_tile(const float* __restrict x, std::size_t x_stride, const std::byte* __restrict w,
                        std::size_t w_stride, std::size_t k, float* c, std::size_t c_stride, float* __restrict kept) {
    constexpr std::size_t kSums = (Rows * Columns + kLanes - 1) / kLanes * kLanes;
    Vector sum[kSums] = {};
    const auto add = [&](const float* rows, std::size_t stride, const auto& weights_of) {
      if constexpr (Rows < Columns) {
        Vector numbers[Rows];
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) numbers[r] = load(rows + r * stride);
#pragma GCC unroll 16
        for (std::size_t j = 0; j < Columns; ++j) {
          const Vector weights = weights_of(j);
#pragma GCC unroll 16
          for (std::size_t r = 0; r < Rows; ++r) sum[r * Columns + j] += numbers[r] * weights;
        }
      } else {
        Vector weights[Columns];
#pragma GCC unroll 16
        for (std::size_t j = 0; j < Columns; ++j) weights[j] = weights_of(j);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
          const Vector numbers = load(rows + r * stride);
#pragma GCC unroll 16
          for (std::size_t j = 0; j < Columns; ++j) sum[r * Columns + j] += numbers * weights[j];
        }
      }
    };
    const auto keep = [&](std::size_t i, std::size_t j, Vector weights) {
      if constexpr (kWeights == Weights::Keep) store(kept + j * kept_stride(k) + i, weights);
      return weights;
    };
    std::size_t i = 0;
    for (; i + kStep<Store> <= k; i += kStep<Store>) {
      if constexpr (kWeights != Weights::Kept) {
#pragma GCC unroll 16
        for (std::size_t j = 0; j < Columns; ++j) {
          __builtin_prefetch(stored_at<Store>(w + (j + Columns) * w_stride, i));
        }
      }
#pragma GCC unroll 8
      for (std::size_t part = 0; part < kStep<Store> / kLanes; ++part) {
        add(x + i + part * kLanes, x_stride, [&](std::size_t j) {
          return keep(i + part * kLanes, j, load_stored<Store>(stored_at<Store>(w + j * w_stride, i), part));
        });
      }
    }
    if constexpr (!kInBlocks<Store>) {
      if (i < k) {  // what does not fill a register, by way of one
        using Stored = typename Store::Stored;
        float rest[Rows][kLanes] = {};
        Stored last[Columns][kLanes] = {};
        for (std::size_t p = i; p < k; ++p) {
          for (std::size_t r = 0; r < Rows; ++r) rest[r][p - i] = x[r * x_stride + p];
          for (std::size_t j = 0; j < Columns; ++j) {
            last[j][p - i] = *reinterpret_cast<const Stored*>(stored_at<Store>(w + j * w_stride, p));
          }
        }
        add(rest[0], kLanes, [&](std::size_t j) { return keep(i, j, Store::template load<Vector, kLanes>(last[j])); });
      }
    }
    float totals[kSums];
    for (std::size_t first = 0; first < kSums; first += kLanes) {
      Vector block[kLanes];
      for (std::size_t p = 0; p < kLanes; ++p) block[p] = sum[first + p];
      const bool half = Rows * Columns - first <= kLanes / 2;
      store(totals + first, half ? sums_of<kLanes / 2>(block) : sums_of<kLanes>(block));
    }
    for (std::size_t r = 0; r < Rows; ++r) {
      for (std::size_t j = 0; j < Columns; ++j) c[r * c_stride + j] = totals[r * Columns + j];
    }
  }

  using DotsTile = void (*)(const float*, std::size_t, const std::byte*, std::size_t, std::size_t, float*, std::size_t,
                            float*);
  /// A tile of all rows of a group, and one of a row less.
  struct DotsPair {
    DotsTile all;
    DotsTile less;
    DotsTile of(bool is_less) const { return is_less ? less : all; }
  };
  template <class Store, std::size_t Rows, std::size_t Columns, Weights kWeights>
  static constexpr DotsPair dots_pair() {
    return {&dots_tile<Store, Rows, Columns, kWeights>,
            &dots_tile<Store, (Rows == 1 ? 1 : Rows - 1), Columns, kWeights>};
  }
  struct DotsTiles {
    std::size_t columns;
    DotsPair read, keep, kept;
    DotsPair single;  ///< column
  };

  /// By the rows of a tile.
  template <class Store, std::size_t... Rows>
  static const DotsTiles& dots_tiles(std::size_t rows, std::index_sequence<Rows...>) {
    static constexpr DotsTiles kTiles[] = {{dot_columns(Rows + 1),
                                            dots_pair<Store, Rows + 1, dot_columns(Rows + 1), Weights::Read>(),
                                            dots_pair<Store, Rows + 1, dot_columns(Rows + 1), Weights::Keep>(),
                                            dots_pair<Single, Rows + 1, dot_columns(Rows + 1), Weights::Kept>(),
                                            dots_pair<Store, Rows + 1, 1, Weights::Read>()}...};
    return kTiles[rows - 1];
  }

  /// Groups of rows of about equal size, the weights of some columns for all groups before the next: they come from
  /// memory once, then from the nearest cache, where they are single numbers if they were none.
  template <class Store>
  static void dots(const float* x, std::size_t x_stride, std::size_t rows, const std::byte* w, std::size_t w_stride,
                   std::size_t columns, std::size_t k, float* c, std::size_t c_stride) {
    const std::size_t groups = (rows + kDotRows - 1) / kDotRows;
    const std::size_t most = (rows + groups - 1) / groups;  // of a group; the others have a row less
    const DotsTiles& tiles = dots_tiles<Store>(most, std::make_index_sequence<kDotRows>{});
    constexpr std::size_t kKept = 6 * 4096;
    alignas(64) float kept[kKept];
    const std::size_t stride = kept_stride(k);
    const bool keeps = !std::is_same_v<Store, Single> && groups > 1 && tiles.columns * stride <= kKept;
    const bool whole = columns >= tiles.columns;
    for (std::size_t j = 0; j < columns; j += whole ? tiles.columns : 1) {
      // Columns that do not fill a tile are computed together with some before them, which they do not change.
      if (whole && columns - j < tiles.columns) j = columns - tiles.columns;
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t begin = rows * g / groups;
        const bool less = rows * (g + 1) / groups - begin < most;
        const bool from_kept = whole && keeps && g > 0;
        const DotsPair& pair = !whole ? tiles.single : !keeps ? tiles.read : g == 0 ? tiles.keep : tiles.kept;
        pair.of(less)(x + begin * x_stride, x_stride,
                      from_kept ? reinterpret_cast<const std::byte*>(kept) : w + j * w_stride,
                      from_kept ? stride * sizeof(float) : w_stride, k, c + begin * c_stride + j, c_stride, kept);
      }
    }
  }

  static Vector select(Bits mask, Vector yes, Vector no) {
    return reinterpret_cast<Vector>((mask & reinterpret_cast<Bits>(yes)) | (~mask & reinterpret_cast<Bits>(no)));
  }

  /// exp(x) for x <= 0: 2^n exp(r) with |r| <= ln 2 / 2, by a polynomial of degree 6 (its coefficients are 1/k!, whose
  /// remainder there is r^7 / 7! < 1.2e-7); zero below -87, where the result would not be normal.
  static Vector exp_of(Vector x) {
    const Bits tiny = x < all(-87.0f);
    x = select(tiny, all(-87.0f), x);
    const Vector shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are n
    const Vector n = shifted - 12582912.0f;
    Vector r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    Vector p = all(1.0f / 720);
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const Bits exponent = (reinterpret_cast<Bits>(shifted) - 0x4b400000) << 23;
    const Vector result = reinterpret_cast<Vector>(reinterpret_cast<Bits>(p) + exponent);
    return select(tiny, Vector{}, result);
  }

  static void soft_max(float* x, const float* const* bias, std::size_t rows, std::size_t count, float scale,
                       float* packed, float* sums) {
    for (std::size_t r = 0; r < rows; ++r) {
      float* row = x + r * count;
      Vector most = all(-__builtin_inff());
      for (std::size_t i = 0; i < count; i += kLanes) {
        const Vector value = load(row + i) * scale + load(bias[r] + i);
        store(row + i, value);
        most = select(value > most, value, most);
      }
      float highest = most[0];
      for (std::size_t j = 1; j < kLanes; ++j) highest = most[j] > highest ? most[j] : highest;
      Vector sum{};
      for (std::size_t i = 0; i < count; i += kLanes) {
        const Vector value = exp_of(load(row + i) - highest);
        store(row + i, value);
        sum += value;
      }
      sums[r] = 0;
      for (std::size_t j = 0; j < kLanes; ++j) sums[r] += sum[j];
    }
    if (packed != nullptr) pack_rows(x, count, rows, count, packed);
  }

  static Vector gelu_of(Vector x) {
    const Vector twice = x * (1.5957691216f + 0.0713548163f * x * x);
    const Bits negative = twice < Vector{};
    const Vector small = exp_of(select(negative, twice, -twice));
    return x * select(negative, small, all(1)) / (1.0f + small);
  }

  static void gelu(const float* x, const float* gate, std::size_t count, float* out) {
    std::size_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      const Vector value = gelu_of(load(x + i));
      store(out + i, gate != nullptr ? value * load(gate + i) : value);
    }
    if (i == count) return;
    float last[kLanes] = {};  // what does not fill a register, by way of one
    for (std::size_t j = i; j < count; ++j) last[j - i] = x[j];
    store(last, gelu_of(load(last)));
    for (std::size_t j = i; j < count; ++j) out[j] = gate != nullptr ? last[j - i] * gate[j] : last[j - i];
  }
};

template <int Bytes, std::size_t RowTile>
constexpr DenseKernels dense_kernels_generic() {
  using Kernels = DenseKernelsGeneric<float, std::int32_t, Bytes, RowTile>;
  return {RowTile,
          &Kernels::pack_rows,
          &Kernels::template pack_panel<Single>,
          &Kernels::template pack_panel<Half>,
          &Kernels::template pack_panel<BFloat>,
          &Kernels::product,
          &Kernels::template dots<Single>,
          &Kernels::template dots<Half>,
          &Kernels::template dots<BFloat>,
          Bytes == 64 ? &Kernels::template dots<Blocks8> : nullptr,
          &Kernels::soft_max,
          &Kernels::gelu};
}

}  // namespace
}  // namespace coala
