// For CPUs with AVX2; compiled once per instruction set that includes it; see gated_kernels_generic.h, whose rules hold
// here. Layouts of blocks are those of ggml-common.h.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "linalg/block_kernels.h"

namespace coala {
namespace {

/// Eight rows of weights, side by side in the lanes of a register.
struct EightRows {
  const std::byte* row[8];

  static __m128i load(const std::byte* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
  static __m128i load_word(const std::byte* from) { return _mm_loadu_si32(from); }

  static __m256i both(__m128i low, __m128i high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }

  /// 16 bytes of each row from `offset` on, turned over: lane j of turned[i] holds bytes 4 i to 4 i + 3 of row j.
  void turn(std::size_t offset, __m256i* turned) const {
    __m256i pair[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) pair[j] = both(load(row[j] + offset), load(row[j + 4] + offset));
    const __m256i low01 = _mm256_unpacklo_epi32(pair[0], pair[1]);
    const __m256i low23 = _mm256_unpacklo_epi32(pair[2], pair[3]);
    const __m256i high01 = _mm256_unpackhi_epi32(pair[0], pair[1]);
    const __m256i high23 = _mm256_unpackhi_epi32(pair[2], pair[3]);
    turned[0] = _mm256_unpacklo_epi64(low01, low23);
    turned[1] = _mm256_unpackhi_epi64(low01, low23);
    turned[2] = _mm256_unpacklo_epi64(high01, high23);
    turned[3] = _mm256_unpackhi_epi64(high01, high23);
  }

  /// Four bytes of each row.
  __m256i words(std::size_t offset) const {
    __m256i pair[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) pair[j] = both(load_word(row[j] + offset), load_word(row[j + 4] + offset));
    return _mm256_unpacklo_epi64(_mm256_unpacklo_epi32(pair[0], pair[1]), _mm256_unpacklo_epi32(pair[2], pair[3]));
  }

  /// The two numbers in half precision in each of eight words.
  struct Two {
    __m256 first, second;
  };
  static Two halves(__m256i words) {
    const __m256i apart = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,  //
                                           0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const __m256i in_order = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(words, apart), 0b11011000);
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(in_order)), _mm256_cvtph_ps(_mm256_extracti128_si256(in_order, 1))};
  }
};

/// Four bits of each byte.
__m256i low_bits(__m256i bytes) {
  return _mm256_and_si256(bytes, _mm256_set1_epi8(15));
}
__m256i high_bits(__m256i bytes) {
  return low_bits(_mm256_srli_epi16(bytes, 4));
}

/// 32 numbers of four bits of each row: the low halves of 16 bytes, then the high ones.
void turn_nibbles(const EightRows& rows, std::size_t offset, __m256i (&groups)[8]) {
  __m256i bytes[4];
  rows.turn(offset, bytes);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    groups[i] = low_bits(bytes[i]);
    groups[i + 4] = high_bits(bytes[i]);
  }
}

/// A fifth bit, of value 16, for every number: bit i of a row's word is that of number i.
void add_fifth_bits(__m256i words, __m256i (&groups)[8]) {
  const __m256i own_byte = _mm256_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12,  //
                                            0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
  const __m256i own_bit = _mm256_set1_epi32(0x08040201);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const __m256i bits = _mm256_shuffle_epi8(_mm256_srli_epi32(words, 4 * i), own_byte);
    const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, own_bit), own_bit);
    groups[i] = _mm256_or_si256(groups[i], _mm256_and_si256(is_set, _mm256_set1_epi8(16)));
  }
}

/// Four neighbours of a row's numbers, for all lanes.
__m256i four(const std::int8_t* numbers) {
  int word;
  __builtin_memcpy(&word, numbers, sizeof word);
  return _mm256_set1_epi32(word);
}

__m256i add_pairs(__m256i sums) {
  return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

/// Products of 32 numbers without sign, of the eight rows of weights, with 32 of a row, added up to two numbers of 16
/// bits a row for either half.
void pair_products(const __m256i (&groups)[8], const std::int8_t* numbers, __m256i (&half)[2]) {
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    __m256i p[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) p[i] = _mm256_maddubs_epi16(groups[4 * h + i], four(numbers + 4 * (4 * h + i)));
    half[h] = _mm256_add_epi16(_mm256_add_epi16(p[0], p[1]), _mm256_add_epi16(p[2], p[3]));
  }
}

/// Their sums. So many products fit into 16 bits: eight times two of 15 x 127, or four times two of 31 x 127.
/// @tparam Bits  of a weight: 4 or 5
template <int Bits>
__m256i inner_products(const __m256i (&groups)[8], const std::int8_t* numbers) {
  __m256i half[2];
  pair_products(groups, numbers, half);
  if constexpr (Bits == 4) return add_pairs(_mm256_add_epi16(half[0], half[1]));
  return _mm256_add_epi32(add_pairs(half[0]), add_pairs(half[1]));
}

/// Number `b` of each of the words' four, without or with its sign.
__m256 unsigned_number(__m256i words, int b) {
  return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(words, 8 * b), _mm256_set1_epi32(255)));
}
__m256 signed_number(__m256i words, int b) {
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(words, 24 - 8 * b), 24));
}

/// Where the eight rows' numbers go in a panel: eight columns of it, those beyond the last row zero.
struct PanelColumns {
  float* first;
  __m256 is_row;  ///< all bits of a column that has a row

  void store(std::size_t number, __m256 of_rows) const {
    _mm256_storeu_ps(first + number * kPanelColumns, _mm256_and_ps(of_rows, is_row));
  }
  PanelColumns behind(std::size_t numbers) const { return {first + numbers * kPanelColumns, is_row}; }
};

/// Numbers factor * q + least, q without sign, four of each row in a word; `Groups` words, numbers from 0 on.
template <int Groups>
void store_affine(const __m256i* groups, __m256 factor, __m256 least, const PanelColumns& to) {
#pragma GCC unroll 8
  for (int i = 0; i < Groups; ++i) {
#pragma GCC unroll 4
    for (int b = 0; b < 4; ++b) {
      to.store(static_cast<std::size_t>(4 * i + b), _mm256_fmadd_ps(unsigned_number(groups[i], b), factor, least));
    }
  }
}

/// Weights factor * q + least, q without sign.
template <int Bits>
struct AffineBlock {
  static constexpr std::size_t kNumbers = 32;
  using Rounded = RoundedBlock;
  __m256i groups[8];
  __m256 factor, least;

  __m256 add_to(__m256 sum, const RoundedBlock& x) const {
    const __m256 products = _mm256_cvtepi32_ps(inner_products<Bits>(groups, x.numbers));
    sum = _mm256_fmadd_ps(products, _mm256_mul_ps(factor, _mm256_set1_ps(x.factor)), sum);
    return _mm256_fmadd_ps(least, _mm256_set1_ps(x.sum), sum);
  }

  void pack(const PanelColumns& to) const { store_affine<8>(groups, factor, least, to); }
};

/// A factor, the fifth bits if there are, 32 times four bits; the numbers are around zero. Q4_0 and Q5_0.
template <int Bits>
struct CentredBlock : AffineBlock<Bits> {
  static constexpr std::size_t kHigh = 2, kNibbles = Bits == 4 ? 2 : 6, kBytes = kNibbles + 16;
  explicit CentredBlock(const EightRows& rows) {
    turn_nibbles(rows, kNibbles, this->groups);
    if constexpr (Bits == 5) add_fifth_bits(rows.words(kHigh), this->groups);
    this->factor = EightRows::halves(rows.words(0)).first;
    this->least = _mm256_mul_ps(this->factor, _mm256_set1_ps(Bits == 4 ? -8 : -16));
  }
};

/// The same with the least number behind the factor. Q4_1 and Q5_1.
template <int Bits>
struct ShiftedBlock : AffineBlock<Bits> {
  static constexpr std::size_t kHigh = 4, kNibbles = Bits == 4 ? 4 : 8, kBytes = kNibbles + 16;
  explicit ShiftedBlock(const EightRows& rows) {
    turn_nibbles(rows, kNibbles, this->groups);
    if constexpr (Bits == 5) add_fifth_bits(rows.words(kHigh), this->groups);
    const EightRows::Two two = EightRows::halves(rows.words(0));
    this->factor = two.first;
    this->least = two.second;
  }
};

__m256i looked_up(__m128i table, __m256i indices) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), indices);
}

/// Numbers of one sign bit, two of exponent and one of fraction, doubled and 12 added; the factor is a power of two.
struct BlockMXFP4 : AffineBlock<5> {
  static constexpr std::size_t kBytes = 17;
  explicit BlockMXFP4(const EightRows& rows) {
    const __m128i numbers = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
    turn_nibbles(rows, 1, groups);
#pragma GCC unroll 8
    for (__m256i& group : groups) group = looked_up(numbers, group);
    // 2^(exponent - 128): half of what the block says, because numbers are doubled.
    const __m256i exponent = _mm256_and_si256(rows.words(0), _mm256_set1_epi32(255));
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(exponent, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), exponent);
    const __m256i is_small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), exponent);
    factor = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, is_small));
    least = _mm256_mul_ps(factor, _mm256_set1_ps(-12));
  }
};

/// Weights factor * q, q of 8 bits with sign. A pair of products takes 16 bits by itself: 2 x 127 x 127, with the sign
/// of the weight moved to the row's number. (-128, which only a damaged file has, counts as 128 without its sign.)
struct SignedBlock {
  static constexpr std::size_t kNumbers = 32;
  using Rounded = RoundedBlock;
  __m256i groups[8];
  __m256 factor;

  __m256 add_to(__m256 sum, const RoundedBlock& x) const {
    __m256i products[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const __m256i numbers = _mm256_sign_epi8(four(x.numbers + 4 * i), groups[i]);
      const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(groups[i]), numbers);
      products[i % 2] = _mm256_add_epi32(products[i % 2], add_pairs(pairs));
    }
    const __m256 all = _mm256_cvtepi32_ps(_mm256_add_epi32(products[0], products[1]));
    return _mm256_fmadd_ps(all, _mm256_mul_ps(factor, _mm256_set1_ps(x.factor)), sum);
  }

  void pack(const PanelColumns& to) const {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
#pragma GCC unroll 4
      for (int b = 0; b < 4; ++b) {
        to.store(static_cast<std::size_t>(4 * i + b), _mm256_mul_ps(signed_number(groups[i], b), factor));
      }
    }
  }
};

struct BlockQ8_0 : SignedBlock {
  static constexpr std::size_t kBytes = 34;
  explicit BlockQ8_0(const EightRows& rows) {
    rows.turn(2, groups);
    rows.turn(18, groups + 4);
    factor = EightRows::halves(rows.words(0)).first;
  }
};

struct BlockIQ4_NL : SignedBlock {
  static constexpr std::size_t kBytes = 18;
  explicit BlockIQ4_NL(const EightRows& rows) {
    const __m128i numbers = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    turn_nibbles(rows, 2, groups);
#pragma GCC unroll 8
    for (__m256i& group : groups) group = looked_up(numbers, group);
    factor = EightRows::halves(rows.words(0)).first;
  }
};

/// The same number twice in the halves of each word, to be multiplied with pairs.
__m256i twice(__m256i words) {
  return _mm256_or_si256(_mm256_slli_epi32(words, 16), _mm256_and_si256(words, _mm256_set1_epi32(0xffff)));
}

/// Two numbers of 16 bits, for all lanes.
__m256i two(const std::int16_t* numbers) {
  int word;
  __builtin_memcpy(&word, numbers, sizeof word);
  return _mm256_set1_epi32(word);
}

/// Byte `index` of each word.
__m256i byte_of(__m256i words, int index) {
  return _mm256_and_si256(_mm256_srli_epi32(words, 8 * index), _mm256_set1_epi32(255));
}

/// Rows that meet weights in blocks: so many at a time, `stride` bytes apart.
template <class Rounded>
struct MeetingRows {
  const std::byte* first;
  std::size_t stride;
  std::size_t count;
  std::size_t block;

  const Rounded& operator[](std::size_t r) const { return reinterpret_cast<const Rounded*>(first + r * stride)[block]; }
};

/// Rows whose sums are kept at a time.
constexpr std::size_t kMostRows = 16;

/// Weights factor * scale * q - least * minimum, q of four bits or five, scale and minimum of six for every 32 numbers.
template <int Bits>
struct AffineSuperblock {
  static constexpr std::size_t kNumbers = 256;
  using Rounded = RoundedSuperblock;
  static constexpr std::size_t kScales = 4, kBits = 16, kNibbles = Bits == 4 ? 16 : 48;
  static constexpr std::size_t kBytes = kNibbles + 128;

  /// The numbers q, 64 at a time: those in the low halves of 32 bytes and those in the high ones.
  struct Numbers {
    const EightRows& rows;
    __m256i high[8];  ///< the fifth bits, the next pair's two lowest in each byte
    __m256i first[8], second[8];

    explicit Numbers(const EightRows& of) : rows(of) {
      if constexpr (Bits == 5) {
        rows.turn(kBits, high);
        rows.turn(kBits + 16, high + 4);
      }
    }
    void next(int pair) {
      __m256i bytes[8];
      rows.turn(kNibbles + 32 * static_cast<std::size_t>(pair), bytes);
      rows.turn(kNibbles + 32 * static_cast<std::size_t>(pair) + 16, bytes + 4);
#pragma GCC unroll 8
      for (int i = 0; i < 8; ++i) {
        first[i] = low_bits(bytes[i]);
        second[i] = high_bits(bytes[i]);
        if constexpr (Bits == 5) {
          const __m256i sixteen = _mm256_set1_epi8(16);
          first[i] = _mm256_or_si256(first[i], _mm256_and_si256(_mm256_slli_epi16(high[i], 4), sixteen));
          second[i] = _mm256_or_si256(second[i], _mm256_and_si256(_mm256_slli_epi16(high[i], 3), sixteen));
          high[i] = _mm256_srli_epi16(high[i], 2);
        }
      }
    }
  };

  static void pack(const EightRows& rows, const PanelColumns& to) {
    __m256i scales[8], minima[4];
    unpack_scales(rows, scales, minima);
    const EightRows::Two factors = EightRows::halves(rows.words(0));
    const auto store = [&](const __m256i(&groups)[8], int block) {
      const __m256i scale = _mm256_and_si256(scales[block], _mm256_set1_epi32(0xffff));
      const __m256i minimum = block % 2 == 0 ? _mm256_and_si256(minima[block / 2], _mm256_set1_epi32(0xffff))
                                             : _mm256_srli_epi32(minima[block / 2], 16);
      const __m256 least = _mm256_mul_ps(factors.second, _mm256_cvtepi32_ps(minimum));
      store_affine<8>(groups, _mm256_mul_ps(factors.first, _mm256_cvtepi32_ps(scale)),
                      _mm256_sub_ps(_mm256_setzero_ps(), least), to.behind(32 * static_cast<std::size_t>(block)));
    };
    Numbers numbers(rows);
    for (int pair = 0; pair < 4; ++pair) {
      numbers.next(pair);
      store(numbers.first, 2 * pair);
      store(numbers.second, 2 * pair + 1);
    }
  }

  static void add_to(__m256* sums, const EightRows& rows, const MeetingRows<Rounded>& x) {
    __m256i scales[8], minima[4];
    unpack_scales(rows, scales, minima);
    Numbers numbers_of(rows);
    __m256i products[kMostRows];
    for (int pair = 0; pair < 4; ++pair) {
      numbers_of.next(pair);
      for (std::size_t r = 0; r < x.count; ++r) {
        const std::int8_t* numbers = x[r].numbers + 64 * pair;
        const __m256i sum = _mm256_add_epi32(scaled_products(numbers_of.first, numbers, scales[2 * pair]),
                                             scaled_products(numbers_of.second, numbers + 32, scales[2 * pair + 1]));
        products[r] = pair == 0 ? sum : _mm256_add_epi32(products[r], sum);
      }
    }
    const EightRows::Two factors = EightRows::halves(rows.words(0));
    for (std::size_t r = 0; r < x.count; ++r) {
      __m256i of_minima = _mm256_setzero_si256();
#pragma GCC unroll 4
      for (std::size_t b = 0; b < 4; ++b) {
        const std::int16_t* s = x[r].sums + 4 * b;
        const std::int16_t of_blocks[2] = {static_cast<std::int16_t>(s[0] + s[1]),
                                           static_cast<std::int16_t>(s[2] + s[3])};
        of_minima = _mm256_add_epi32(of_minima, _mm256_madd_epi16(minima[b], two(of_blocks)));
      }
      const __m256 x_factor = _mm256_set1_ps(x[r].factor);
      sums[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[r]), _mm256_mul_ps(factors.first, x_factor), sums[r]);
      sums[r] = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(of_minima), _mm256_mul_ps(factors.second, x_factor), sums[r]);
    }
  }

  /// Twelve bytes hold eight scales and eight minima: six bits of the first four of each in a byte, whose two upper
  /// bits belong to the last four; their four lower bits are in the last four bytes.
  /// @param scales  each twice in a word
  /// @param minima  those of neighbours in a word
  static void unpack_scales(const EightRows& rows, __m256i (&scales)[8], __m256i (&minima)[4]) {
    const __m256i six = _mm256_set1_epi8(0x3f), four_bits = _mm256_set1_epi8(0x0f), upper = _mm256_set1_epi8(0x30);
    const __m256i word[3] = {rows.words(kScales), rows.words(kScales + 4), rows.words(kScales + 8)};
    const auto with_upper = [&](__m256i low, __m256i from) {
      return _mm256_or_si256(_mm256_and_si256(low, four_bits), _mm256_and_si256(_mm256_srli_epi32(from, 2), upper));
    };
    const __m256i of_scales[2] = {_mm256_and_si256(word[0], six), with_upper(word[2], word[0])};
    const __m256i of_minima[2] = {_mm256_and_si256(word[1], six), with_upper(_mm256_srli_epi32(word[2], 4), word[1])};
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) scales[j] = twice(byte_of(of_scales[j / 4], j % 4));
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m256i second = byte_of(of_minima[j / 2], 2 * (j % 2) + 1);
      minima[j] = _mm256_or_si256(byte_of(of_minima[j / 2], 2 * (j % 2)), _mm256_slli_epi32(second, 16));
    }
  }

  static __m256i scaled_products(const __m256i (&groups)[8], const std::int8_t* numbers, __m256i scale) {
    __m256i half[2];
    pair_products(groups, numbers, half);
    if constexpr (Bits == 4) return _mm256_madd_epi16(_mm256_add_epi16(half[0], half[1]), scale);
    return _mm256_add_epi32(_mm256_madd_epi16(half[0], scale), _mm256_madd_epi16(half[1], scale));
  }
};

/// Weights factor * scale * (q - 32), q of six bits, scale of eight with sign for every 16 numbers.
struct SuperblockQ6_K {
  static constexpr std::size_t kNumbers = 256;
  using Rounded = RoundedSuperblock;
  static constexpr std::size_t kHigh = 128, kScales = 192, kFactor = 208, kBytes = 210;

  /// The scale of 16 numbers.
  static __m256i scale_of(const __m256i (&scale_bytes)[4], int index) {
    return _mm256_srai_epi32(_mm256_slli_epi32(scale_bytes[index / 4], 24 - 8 * (index % 4)), 24);
  }
  static __m256 factor_of(const EightRows& rows) {
    return EightRows::halves(rows.words(kFactor - 2)).second;  // it is the last of the block
  }

  /// Calls use(first, second, block): `first` are the 32 numbers q of that block, `second` those two blocks later. They
  /// are in the low and the high bits of the same 32 bytes, and in two bits each of 32 others, which half of all
  /// numbers share.
  template <class Use>
  static void for_numbers(const EightRows& rows, const Use& use) {
    for (int half = 0; half < 2; ++half) {
      __m256i high[8];
      rows.turn(kHigh + 32 * static_cast<std::size_t>(half), high);
      rows.turn(kHigh + 32 * static_cast<std::size_t>(half) + 16, high + 4);
      for (int part = 0; part < 2; ++part) {
        const std::size_t begin = 64 * static_cast<std::size_t>(half) + 32 * static_cast<std::size_t>(part);
        __m256i low[8], first[8], second[8];
        rows.turn(begin, low);
        rows.turn(begin + 16, low + 4);
        const __m256i two_bits = _mm256_set1_epi8(0x30);
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
          const __m256i bits = part == 0 ? high[i] : _mm256_srli_epi16(high[i], 2);
          first[i] = _mm256_or_si256(low_bits(low[i]), _mm256_and_si256(_mm256_slli_epi16(bits, 4), two_bits));
          second[i] = _mm256_or_si256(high_bits(low[i]), _mm256_and_si256(bits, two_bits));
        }
        use(first, second, 4 * half + part);
      }
    }
  }

  static void pack(const EightRows& rows, const PanelColumns& to) {
    __m256i scale_bytes[4];
    rows.turn(kScales, scale_bytes);
    const __m256 factor = factor_of(rows);
    const auto store = [&](const __m256i(&groups)[8], int block) {
      for (int half = 0; half < 2; ++half) {
        const __m256 scaled = _mm256_mul_ps(factor, _mm256_cvtepi32_ps(scale_of(scale_bytes, 2 * block + half)));
        store_affine<4>(groups + 4 * half, scaled, _mm256_mul_ps(scaled, _mm256_set1_ps(-32)),
                        to.behind(static_cast<std::size_t>(32 * block + 16 * half)));
      }
    };
    for_numbers(rows, [&](const __m256i(&first)[8], const __m256i(&second)[8], int block) {
      store(first, block);
      store(second, block + 2);
    });
  }

  static void add_to(__m256* sums, const EightRows& rows, const MeetingRows<Rounded>& x) {
    __m256i scale_bytes[4], scales[16];
    rows.turn(kScales, scale_bytes);
#pragma GCC unroll 16
    for (int b = 0; b < 16; ++b) scales[b] = twice(scale_of(scale_bytes, b));
    __m256i products[kMostRows];
    for (std::size_t r = 0; r < x.count; ++r) {
      // What the 32 take away: their products with the sums of 16 numbers, by pairs of scales.
      __m256i offsets = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int b = 0; b < 8; ++b) {
        const __m256i pair = _mm256_blend_epi16(scales[2 * b], scales[2 * b + 1], 0b10101010);
        offsets = _mm256_add_epi32(offsets, _mm256_madd_epi16(pair, two(x[r].sums + 2 * b)));
      }
      products[r] = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(offsets, 5));
    }
    for_numbers(rows, [&](const __m256i(&first)[8], const __m256i(&second)[8], int block) {
      for (std::size_t r = 0; r < x.count; ++r) {
        const std::int8_t* numbers = x[r].numbers + 32 * block;
        const __m256i sum = _mm256_add_epi32(scaled_products(first, numbers, scales + 2 * block),
                                             scaled_products(second, numbers + 64, scales + 2 * block + 4));
        products[r] = _mm256_add_epi32(products[r], sum);
      }
    });
    const __m256 factor = factor_of(rows);
    for (std::size_t r = 0; r < x.count; ++r) {
      const __m256 factors = _mm256_mul_ps(factor, _mm256_set1_ps(x[r].factor));
      sums[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[r]), factors, sums[r]);
    }
  }

  /// Two pairs of products of 63 x 127 fit into 16 bits.
  static __m256i scaled_products(const __m256i (&groups)[8], const std::int8_t* numbers, const __m256i* scales) {
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      const __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(groups[i], four(numbers + 4 * i)),
                                             _mm256_maddubs_epi16(groups[i + 1], four(numbers + 4 * i + 4)));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, scales[i / 4]));
    }
    return sum;
  }
};

/// A block of 32 numbers is decoded as a whole, then every row meets it.
template <class Block>
struct Whole {
  static constexpr std::size_t kNumbers = Block::kNumbers, kBytes = Block::kBytes;
  using Rounded = typename Block::Rounded;

  static void add_to(__m256* sums, const EightRows& rows, const MeetingRows<Rounded>& x) {
    const Block block(rows);
    for (std::size_t r = 0; r < x.count; ++r) sums[r] = block.add_to(sums[r], x[r]);
  }
  static void pack(const EightRows& rows, const PanelColumns& to) { Block(rows).pack(to); }
};

template <class Block>
void block_dots(const std::byte* x, std::size_t x_stride, std::size_t rows, const std::byte* w, std::size_t w_stride,
                std::size_t columns, std::size_t k, float* c, std::size_t c_stride) {
  constexpr std::size_t kColumns = 8;
  const std::size_t blocks = k / Block::kNumbers;
  for (std::size_t j = 0; j < columns; j += kColumns) {
    const std::size_t here = columns - j < kColumns ? columns - j : kColumns;
    for (std::size_t first = 0; first < rows; first += kMostRows) {
      const std::size_t count = rows - first < kMostRows ? rows - first : kMostRows;
      EightRows eight;
      for (std::size_t i = 0; i < kColumns; ++i) eight.row[i] = w + (j + (i < here ? i : here - 1)) * w_stride;
      __m256 sums[kMostRows];
      for (std::size_t r = 0; r < count; ++r) sums[r] = _mm256_setzero_ps();
      for (std::size_t b = 0; b < blocks; ++b) {
        // Eight rows at once are more than the hardware fetches ahead: the next eight, which lie behind these.
        constexpr std::size_t kLine = 64;
        const std::byte* const next = w + (j + kColumns) * w_stride + b * kColumns * Block::kBytes;
        for (std::size_t line = 0; line < kColumns * Block::kBytes; line += kLine) __builtin_prefetch(next + line);
        Block::add_to(sums, eight, {x + first * x_stride, x_stride, count, b});
#pragma GCC unroll 8
        for (const std::byte*& row : eight.row) row += Block::kBytes;
      }
      for (std::size_t r = 0; r < count; ++r) {
        float* to = c + (first + r) * c_stride + j;
        if (here == kColumns) {
          _mm256_storeu_ps(to, sums[r]);
          continue;
        }
        alignas(32) float whole[kColumns];
        _mm256_store_ps(whole, sums[r]);
        for (std::size_t i = 0; i < here; ++i) to[i] = whole[i];
      }
    }
  }
}

/// See DenseKernels::PackPanel; k is a multiple of the block.
template <class Block>
void pack_block_panel(const std::byte* w, std::size_t stride, std::size_t columns, std::size_t k, float* panel) {
  constexpr std::size_t kColumns = 8;
  for (std::size_t c = 0; c < kPanelColumns; c += kColumns) {
    if (c >= columns) {
      for (std::size_t i = 0; i < k; ++i) _mm256_storeu_ps(panel + i * kPanelColumns + c, _mm256_setzero_ps());
      continue;
    }
    const std::size_t here = columns - c < kColumns ? columns - c : kColumns;
    EightRows eight;
    for (std::size_t i = 0; i < kColumns; ++i) eight.row[i] = w + (c + (i < here ? i : here - 1)) * stride;
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256 is_row = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(here)), lane));
    for (std::size_t first = 0; first < k; first += Block::kNumbers) {
      Block::pack(eight, {panel + first * kPanelColumns + c, is_row});
#pragma GCC unroll 8
      for (const std::byte*& row : eight.row) row += Block::kBytes;
    }
  }
}

/// In the order of BlockFormat.
template <class... Blocks>
constexpr BlockKernels kernels_of_blocks() {
  static_assert(sizeof...(Blocks) == kBlockFormats);
  return {{&block_dots<Blocks>...}, {&pack_block_panel<Blocks>...}};
}

constexpr BlockKernels block_kernels_avx2() {
  return kernels_of_blocks<Whole<CentredBlock<4>>, Whole<ShiftedBlock<4>>, Whole<CentredBlock<5>>,
                           Whole<ShiftedBlock<5>>, Whole<BlockQ8_0>, Whole<BlockIQ4_NL>, Whole<BlockMXFP4>,
                           AffineSuperblock<4>, AffineSuperblock<5>, SuperblockQ6_K>();
}

}  // namespace
}  // namespace coala
