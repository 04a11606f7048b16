#include "linalg/cpu/amx_product.h"
#include "linalg/cpu/bfloat_rounding_avx512.h"
#include "linalg/cpu/kernel_sets.h"

namespace coala {
namespace {

/// The CPU's tiles, by their instructions: the compilers' intrinsics are macros that want the tile's number as text.
struct CpuTiles {
  struct alignas(64) Configuration {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static_assert(sizeof(Configuration) == 64);

  /// Tiles belong to a thread. They are given back, so that switching threads need not save them.
  static void begin() {
    static constexpr Configuration kConfiguration{};
    asm volatile("ldtilecfg %0" : : "m"(kConfiguration));
  }
  static void end() { asm volatile("tilerelease"); }

  template <int Tile>
  static void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(Tile));
  }
  template <int Tile>
  static void load(const void* from, std::size_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(Tile) : "memory");
  }
  template <int Tile>
  static void store(void* to, std::size_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(Tile) : "memory");
  }
  template <int Sum, int Rows, int Columns>
  static void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sum), "i"(Rows), "i"(Columns));
  }
};

}  // namespace

const BFloatKernels kBFloat_amx{"amx-bf16", &BFloatRounding::round_rows, &BFloatRounding::round_panel,
                                &amx_product<CpuTiles>};

}  // namespace coala
