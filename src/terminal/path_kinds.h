#pragma once

namespace coala {

/// Type names that say what a path is for. Every option that takes one is marked, in the help as well, and what checks
/// the paths of a command line goes by the marks.
inline constexpr const char* kInput = "INPUT";    ///< a file, or a folder of files, that is read
inline constexpr const char* kData = "DATA";      ///< files, a folder, a pattern
inline constexpr const char* kOutput = "OUTPUT";  ///< a file or folder that is written

}  // namespace coala
