#pragma once

namespace coala {

/// Version of the program, which CMakeLists.txt states; part of every file that it writes.
extern const char* const kVersion;

/// Version of what the hidden states are computed with; part of every feature file and head that comes from a model.
/// It goes up when states change by more than rounding. Version 1, which files do not state, had a fault: attention
/// could overwrite its own input, and states were off by up to some percent, depending on what else was in the file.
inline constexpr const char* kStatesVersion = "2";

}  // namespace coala
