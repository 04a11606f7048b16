#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "core/parallel.h"
#include "linalg/backend.h"

namespace coala {

/// The device of --device for the gated program; null: the CPU, which `auto` is as well: a model may have taken a
/// card's memory, and the solver was not tried on one.
/// @param pool  outlives it
/// @param news  receives what to tell the user, or nothing
/// @throws Error{NotBuilt} for a device of a kind that is not in this build, Error{BadUsage} for one that is not there
std::unique_ptr<Backend> open_fit_device(const std::string& device, ThreadPool& pool, std::string& news);

}  // namespace coala
