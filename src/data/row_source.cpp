#include "data/row_source.h"

#include <iterator>
#include <utility>

#include "core/interrupt.h"

namespace coala {

RowSource::RowSource(std::vector<std::filesystem::path> files, const ColumnOptions& columns, std::size_t max_bytes)
    : files_(std::move(files)), columns_(&columns), max_bytes_(max_bytes) {
  if (files_.empty()) throw Error(ErrorCode::Internal, "there is no file to read");
}

bool RowSource::next_element(Element& element) {
  for (;;) {
    if (elements_ && elements_->next(element)) return true;
    if (elements_) {
      lines_ += elements_->lines();
      blank_lines_ += elements_->blank_lines();
      bytes_read_ += elements_->bytes_read();
      elements_.reset();
    }
    if (next_file_ == files_.size()) return false;
    elements_.emplace(files_[next_file_++], max_bytes_);
  }
}

std::optional<Row> RowSource::next() {
  for (;;) {
    throw_if_interrupted();
    if (!waiting_.empty()) {
      Row row = std::move(waiting_.front());
      waiting_.pop_front();
      return row;
    }
    Element element;
    if (!next_element(element)) return std::nullopt;
    try {
      Row row({files_[next_file_ - 1], files_.size() > 1, elements_->layout() != Layout::Array}, element, *columns_);
      std::vector<Row> rows = row.expand();
      if (rows.empty()) return row;
      std::move(rows.begin(), rows.end(), std::back_inserter(waiting_));
    } catch (const Error& error) {
      if (!take_bad_ || error.code() != ErrorCode::BadInput) throw;
      take_bad_(error);
    }
  }
}

std::uint64_t RowSource::lines() const {
  return lines_ + (elements_ ? elements_->lines() : 0);
}

std::uint64_t RowSource::blank_lines() const {
  return blank_lines_ + (elements_ ? elements_->blank_lines() : 0);
}

std::uint64_t RowSource::bytes_read() const {
  return bytes_read_ + (elements_ ? elements_->bytes_read() : 0);
}

}  // namespace coala
