#pragma once

#include "linalg/backend.h"

namespace coala {

/// "vulkan:0", "vulkan:1", ..., hardware first.
std::vector<std::string> vulkan_device_names();

/// A device with a Vulkan driver, by the kernels of shaders/. It needs nothing of a driver beyond Vulkan 1.1 and 16
/// storage buffers for a kernel: numbers are of single precision, and sums of two of them.
/// @throws Error{BadUsage} when it is not there, or lacks that
std::unique_ptr<Backend> open_vulkan_backend(std::string_view name);

}  // namespace coala
