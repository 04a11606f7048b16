#pragma once

namespace coala {

/// Refuses to start where OpenBLAS would wait for ever: a thread of its that gets no work area asks again and again.
/// @throws Error{OutOfMemory} when the limit of address space (ulimit -v) is below what these areas take
void check_address_space();

}  // namespace coala
