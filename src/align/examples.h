#pragma once

#include <span>

#include "eval/evaluated_rows.h"
#include "extract/extract_file.h"

namespace coala {

/// A prompt as people read it.
std::string text_of(const Prompt& prompt);

/// Fills in the texts of examples from the data that their features were made of.
/// @param left_out  records that have no features
void add_texts(Examples& examples, const RecordStore& data, std::span<const LeftOutRecord> left_out);

}  // namespace coala
