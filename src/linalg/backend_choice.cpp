#include "core/error.h"
#include "linalg/host_backend.h"
#ifdef COALA_VULKAN
#include "linalg/vulkan/vulkan_backend.h"
#endif

namespace coala {

std::vector<std::string> backend_names() {
  std::vector<std::string> names{"cpu"};
#ifdef COALA_VULKAN
  for (std::string& name : vulkan_device_names()) names.push_back(std::move(name));
#endif
  return names;
}

std::unique_ptr<Backend> open_backend(std::string_view name, ThreadPool& pool) {
  if (name == "cpu") return std::make_unique<HostBackend>(pool);
#ifdef COALA_VULKAN
  if (name.starts_with("vulkan:")) return open_vulkan_backend(name);
#else
  if (name.starts_with("vulkan:")) {
    throw Error(ErrorCode::NotBuilt,
                "this build computes on the CPU alone, and '" + std::string(name) + "' was asked for",
                "build with `make build DEVICE=vulkan`");
  }
#endif
  std::string there;
  for (const std::string& known : backend_names()) there += (there.empty() ? "" : ", ") + known;
  throw Error(ErrorCode::BadUsage, "there is no device '" + std::string(name) + "'", "there are: " + there);
}

}  // namespace coala
