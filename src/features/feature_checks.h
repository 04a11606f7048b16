#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

#include "core/stored_rows.h"

namespace coala {

// What the numbers of features must be, wherever they come from. All of them name what is wrong, as rows and columns
// counted from 0. @param where  a file, or what stands for it, for messages

/// @throws Error{BadInput} when a number is not finite
void check_finite(const StoredRows& rows, std::string_view name, const std::string& where);
void check_finite(std::span<const float> column, std::string_view name, const std::string& where);

/// @throws Error{BadInput} when a weight is not above 0
void check_weights(std::span<const float> weights, const std::string& where);

/// @throws Error{BadInput} when a label is neither -1 nor +1
void check_label(std::int64_t label, std::size_t row, const std::string& where);

/// @throws Error{BadInput} when a length is below 0, or larger than is stored
void check_length(std::int64_t length, std::size_t row, std::string_view name, const std::string& where);

}  // namespace coala
