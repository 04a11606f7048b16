#include "extract/feature_rows.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/half.h"

namespace coala {
namespace {

template <class T>
void append(std::vector<std::byte>& to, T value) {
  const std::size_t at = to.size();
  to.resize(at + sizeof value);
  std::memcpy(to.data() + at, &value, sizeof value);
}

}  // namespace

std::vector<FeatureColumn> feature_columns(FeatureKind kind, Dtype dtype, const FeatureWidths& widths) {
  // Wide types first: every tensor then starts at a multiple of its own size, whatever the number of rows.
  std::vector<FeatureColumn> columns;
  if (kind == FeatureKind::Pairs) {
    columns = {{"prompt_id", Dtype::I64, 1, true, false},
               {"weight", Dtype::F32, 1, true, true},
               {"margin", Dtype::F32, 1, true, true},
               {"prefix_tokens", Dtype::I32, 1, true, true},
               {"length_chosen", Dtype::I32, 1, true, false},
               {"length_rejected", Dtype::I32, 1, true, false},
               {"chosen", dtype, widths.features, false, false},
               {"rejected", dtype, widths.features, false, false}};
    if (widths.token_sums > 0) {
      // Sums over hundreds of tokens, of which differences are taken: in single precision whatever the features' type.
      columns.insert(columns.begin() + 6, {{"token_sums_chosen", Dtype::F32, widths.token_sums, false, false},
                                           {"token_sums_rejected", Dtype::F32, widths.token_sums, false, false}});
    }
    return columns;
  }
  columns = {{"prompt_id", Dtype::I64, 1, true, false},          {"weight", Dtype::F32, 1, true, true},
             {"prefix_tokens", Dtype::I32, 1, true, true},       {"length", Dtype::I32, 1, true, false},
             {"features", dtype, widths.features, false, false}, {"labels", Dtype::I8, 1, true, false}};
  if (widths.token_sums > 0) {
    columns.insert(columns.begin() + 4, {"token_sums", Dtype::F32, widths.token_sums, false, false});
  }
  return columns;
}

FeatureRows::FeatureRows(FeatureKind kind, Dtype dtype, const FeatureWidths& widths)
    : columns_(feature_columns(kind, dtype, widths)) {
  for (const FeatureColumn& column : columns_) data_[column.name] = {column.dtype, !column.optional, {}};
}

void FeatureRows::put(const std::string& column, std::span<const float> values) {
  Data& data = data_.at(column);
  for (const float value : values) {
    float stored = value;
    switch (data.dtype) {
      case Dtype::F32:
        append(data.bytes, value);
        break;
      case Dtype::F16:
        append(data.bytes, f32_to_f16(value));
        stored = f16_to_f32(f32_to_f16(value));
        break;
      case Dtype::BF16:
        append(data.bytes, f32_to_bf16(value));
        stored = bf16_to_f32(f32_to_bf16(value));
        break;
      case Dtype::F64:
      case Dtype::I64:
      case Dtype::I32:
      case Dtype::I16:
      case Dtype::I8:
      case Dtype::U8:
        throw Error(ErrorCode::Internal, fmt::format("the column '{}' does not hold floating-point numbers", column));
    }
    if (!std::isfinite(stored)) {
      throw Error(ErrorCode::BadInput,
                  fmt::format("{} of '{}' does not fit into {}", value, column, dtype_name(data.dtype)),
                  "use --dtype bf16 or f32");
    }
  }
}

void FeatureRows::put(const std::string& column, std::int64_t value) {
  Data& data = data_.at(column);
  switch (data.dtype) {
    case Dtype::I64:
      append(data.bytes, value);
      return;
    case Dtype::I32:
      append(data.bytes, static_cast<std::int32_t>(value));
      return;
    case Dtype::I8:
      append(data.bytes, static_cast<std::int8_t>(value));
      return;
    case Dtype::F64:
    case Dtype::F32:
    case Dtype::F16:
    case Dtype::BF16:
    case Dtype::I16:
    case Dtype::U8:
      break;
  }
  throw Error(ErrorCode::Internal, fmt::format("the column '{}' does not hold integers", column));
}

void FeatureRows::mark_present(const std::string& column) {
  data_.at(column).present = true;
}

void FeatureRows::clear() {
  rows_ = 0;
  for (const FeatureColumn& column : columns_) {
    data_.at(column.name).bytes.clear();
    data_.at(column.name).present = !column.optional;
  }
}

}  // namespace coala
