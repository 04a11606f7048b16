#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace coala {

/// Types of stored numbers, named as safetensors names them.
enum class Dtype { F64, F32, F16, BF16, I64, I32, I16, I8, U8 };

std::size_t dtype_bytes(Dtype dtype) noexcept;
std::string_view dtype_name(Dtype dtype) noexcept;
std::optional<Dtype> dtype_named(std::string_view name) noexcept;

}  // namespace coala
