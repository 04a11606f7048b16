#pragma once

#include <string>
#include <vector>

#include "data/counts.h"

namespace coala {

/// Names of columns, with commas between them, printable.
std::string names_of(const std::map<std::string, std::uint64_t, std::less<>>& columns);

/// Why records and pairs were left out, those reasons that there were: "3 ties, 1 with an empty response".
std::string reasons_of(const ReaderCounts& counts);

/// The same for a log, on few lines: the shapes and what they gave, the reasons, and the columns.
/// @param what  "pairs" or "labelled responses"
std::vector<std::string> reading_lines(const ReaderCounts& counts, const char* what);

}  // namespace coala
