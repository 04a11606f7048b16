#include "extract/row_sink.h"

#include <algorithm>
#include <utility>

namespace coala {
namespace {

/// Bytes of rows that are put together before they are written.
constexpr std::size_t kPart_bytes = std::size_t{1} << 24;

}  // namespace

void add_rows(const Window& window, const BlockStore& store, const FeatureWidths& widths, std::size_t prefix_every,
              RowSink& sink) {
  std::vector<float> first(widths.features + widths.token_sums);
  std::vector<float> second(first.size());
  const auto read = [&](std::size_t response, std::uint32_t prefix, std::vector<float>& numbers) {
    const Window::Place place = window.places[response];
    store.read({window.index, place.block}, place.row + std::min(prefix, place.rows - 1), numbers);
  };
  for (std::size_t i = 0; i < window.rows.size(); ++i) {
    const RecordRow& record = window.rows[i];
    const bool is_pair = window.responses_per_record == 2;
    const std::uint32_t prefixes = window.rows_of_record(i);
    for (std::uint32_t prefix = 0; prefix < prefixes; ++prefix) {
      read(i * window.responses_per_record, prefix, first);
      FeatureRow row{.record = record,
                     .first = std::span(first).first(widths.features),
                     .first_sums = std::span(first).subspan(widths.features),
                     .second = {},
                     .second_sums = {},
                     .weight = std::nullopt,
                     .prefix_tokens = std::nullopt};
      if (is_pair) {
        read(i * window.responses_per_record + 1, prefix, second);
        row.second = std::span(second).first(widths.features);
        row.second_sums = std::span(second).subspan(widths.features);
      }
      // However many rows a record gives, it counts as much as the others.
      if (record.weight || prefix_every > 0) row.weight = record.weight.value_or(1) / static_cast<float>(prefixes);
      if (prefix_every > 0) {
        row.prefix_tokens = prefix + 1 == prefixes ? 0 : static_cast<std::int64_t>((prefix + 1) * prefix_every);
      }
      sink.add(row);
    }
  }
}

FileRows::FileRows(FeatureKind kind, Dtype dtype, const FeatureWidths& widths, PartStore& parts)
    : rows_(kind, dtype, widths), parts_(parts) {}

void FileRows::add(const FeatureRow& row) {
  const auto put = [&](const char* column, std::span<const float> values) {
    if (!values.empty()) rows_.put(column, values);
  };
  const auto put_optional = [&](const char* column, const std::optional<float>& value, float otherwise) {
    const float stored = value.value_or(otherwise);
    rows_.put(column, {&stored, 1});
    if (value) rows_.mark_present(column);
  };
  rows_.put("prompt_id", row.record.prompt_id);
  put_optional("weight", row.weight, 1);
  rows_.put("prefix_tokens", row.prefix_tokens.value_or(0));
  if (row.prefix_tokens) rows_.mark_present("prefix_tokens");
  if (!row.second.empty()) {
    put_optional("margin", row.record.margin, 0);
    rows_.put("length_chosen", row.record.length);
    rows_.put("length_rejected", row.record.length_rejected);
    put("chosen", row.first);
    put("token_sums_chosen", row.first_sums);
    put("rejected", row.second);
    put("token_sums_rejected", row.second_sums);
  } else {
    rows_.put("length", row.record.length);
    put("features", row.first);
    put("token_sums", row.first_sums);
    rows_.put("labels", row.record.label);
  }
  rows_.end_row();
  const std::size_t bytes = (row.first.size() + row.first_sums.size()) * sizeof(float);
  if (rows_.rows() * bytes >= kPart_bytes) flush();
}

void FileRows::flush() {
  parts_.write(rows_);
  rows_.clear();
}

void MemoryRows::add(const FeatureRow& row) {
  const RecordRow& record = row.record;
  ids_.push_back(record.id);
  set_.prompt_id.push_back(record.prompt_id);
  set_.subset.push_back(record.subset);
  with_subset_ = with_subset_ || !record.subset.empty();
  first_.insert(first_.end(), row.first.begin(), row.first.end());
  if (row.second.empty()) {
    set_.length.push_back(record.length);
    set_.labels.push_back(record.label);
    return;
  }
  second_.insert(second_.end(), row.second.begin(), row.second.end());
  set_.length_chosen.push_back(record.length);
  set_.length_rejected.push_back(record.length_rejected);
  set_.weight.push_back(row.weight.value_or(1));
  set_.margin.push_back(record.margin.value_or(0));
  weighted_ = weighted_ || row.weight.has_value();
  with_margin_ = with_margin_ || record.margin.has_value();
}

FeatureSet MemoryRows::take() {
  if (!with_subset_) set_.subset.clear();
  if (!weighted_) set_.weight.clear();
  if (!with_margin_) set_.margin.clear();
  const std::size_t n = set_.prompt_id.size();
  const bool pairs = set_.kind == FeatureKind::Pairs;
  (pairs ? set_.chosen : set_.features) = Matrix<float>(n, dimension_, std::move(first_));
  if (pairs) set_.rejected = Matrix<float>(n, dimension_, std::move(second_));
  set_.has_prompt_id = true;
  return std::move(set_);
}

}  // namespace coala
