#pragma once

#include <string_view>

namespace coala {

/// Writes to standard error, and never fails: a log on a full disk, a terminal or a pipe that is gone must not end a
/// job of hours. What cannot be written is lost.
void write_message(std::string_view text) noexcept;

/// Descriptors 0, 1 and 2 that a caller has closed lead nowhere from here on. Otherwise the next file that is opened
/// gets one of them, and messages or results are written into it. To be called first.
void open_standard_descriptors() noexcept;

/// A mapped file that gets shorter while it is read ends the process with one message and status 1, not by SIGBUS.
void end_on_shrunk_files() noexcept;

}  // namespace coala
