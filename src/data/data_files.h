#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace coala {

/// The files that names stand for, in the order in which they are read: a file; "-" for standard input; a pattern (`*`,
/// `?`, `[..]`), whose files come in the order of their names; or a folder, for the files of data that are in it, or in
/// the one folder within it that has any.
/// @throws Error{BadInput} for a name that nothing answers to (for a data set of a hub with the command that fetches
///         it), a folder with several splits or with a part missing, and a file that is named twice
std::vector<std::filesystem::path> find_data_files(const std::vector<std::string>& names);

/// What a message calls them: "a.jsonl", or "a.jsonl and 3 more files".
std::string name_of(const std::vector<std::filesystem::path>& files);

}  // namespace coala
