#include "core/dtype.h"

#include <algorithm>
#include <array>

namespace coala {
namespace {

struct Info {
  Dtype dtype;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array<Info, 9> kInfos{{{Dtype::F64, "F64", 8},
                                      {Dtype::F32, "F32", 4},
                                      {Dtype::F16, "F16", 2},
                                      {Dtype::BF16, "BF16", 2},
                                      {Dtype::I64, "I64", 8},
                                      {Dtype::I32, "I32", 4},
                                      {Dtype::I16, "I16", 2},
                                      {Dtype::I8, "I8", 1},
                                      {Dtype::U8, "U8", 1}}};

const Info& info(Dtype dtype) {
  return kInfos.at(static_cast<std::size_t>(dtype));
}

}  // namespace

std::size_t dtype_bytes(Dtype dtype) noexcept {
  return info(dtype).bytes;
}

std::string_view dtype_name(Dtype dtype) noexcept {
  return info(dtype).name;
}

std::optional<Dtype> dtype_named(std::string_view name) noexcept {
  const auto found = std::ranges::find(kInfos, name, &Info::name);
  if (found == kInfos.end()) return std::nullopt;
  return found->dtype;
}

}  // namespace coala
