#pragma once

#include <span>
#include <vector>

#include "eval/evaluated_rows.h"
#include "extract/extract_file.h"
#include "features/feature_set.h"

namespace coala {

/// A prompt as people read it.
std::string text_of(const Prompt& prompt);

/// Which record each row of whole responses was made of, by its prompt and the lengths of its responses: also where
/// some records were held out or left out. The rows have the records' order.
/// @throws Error{Mismatch} when the rows were made of other data
std::vector<std::size_t> records_of_rows(const FeatureSet& set, const RecordStore& data);

/// Fills in the texts of examples from the data that their features were made of.
/// @param left_out  records that have no features
void add_texts(Examples& examples, const RecordStore& data, std::span<const LeftOutRecord> left_out);

}  // namespace coala
