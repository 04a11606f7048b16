#pragma once

namespace coala {

/// Ctrl-C and SIGTERM set a flag that long work looks at between its steps; a second signal ends the process at once.
void install_interrupt_handler();
bool interrupted() noexcept;
/// @throws Error{Interrupted}, without a hint: what is kept, the command knows
void throw_if_interrupted();

}  // namespace coala
