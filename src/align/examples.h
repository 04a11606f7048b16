#pragma once

#include "eval/evaluated_rows.h"
#include "extract/extract_file.h"

namespace coala {

/// Fills in the texts of examples from the data that their features were made of.
/// @throws what reading throws
void add_texts(Examples& examples, const DataFile& data);

}  // namespace coala
