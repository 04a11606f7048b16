#pragma once

#include <functional>

namespace coala {

/// Runs an action in a child process with little memory and time, and says whether the child lived through it.
/// Exceptions count as living, running out of memory does not. For code that is not ours on input that is not ours,
/// where a stack overflow or an endless loop would take this process along. What the action changes is not seen here.
bool survives_in_child(const std::function<void()>& action);

}  // namespace coala
