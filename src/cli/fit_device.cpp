#include "cli/fit_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "core/error.h"
#ifdef COALA_HAVE_LM
#include "lm/devices.h"
#endif

namespace coala {

std::unique_ptr<Backend> open_fit_device(const std::string& device, ThreadPool& pool, std::string& news) {
  news.clear();
  if (device == "auto") return nullptr;
#ifdef COALA_HAVE_LM
  const std::optional<DeviceInfo> found = find_device(device, news);
  if (!found) return nullptr;
  // llama.cpp and the solver number devices by themselves: the same driver's name makes it the same device.
  std::vector<std::string> names = backend_names();
  std::ranges::stable_partition(names, [&](const std::string& name) { return name == found->name; });
  for (const std::string& name : names) {
    if (name == "cpu") continue;
    std::unique_ptr<Backend> backend = open_backend(name, pool);
    if (backend->description() != found->description) continue;
    news = fmt::format("the gated program is computed on {} ({})", found->name, found->description);
    return backend;
  }
  throw Error(
      ErrorCode::BadUsage,
      fmt::format("{} ({}) evaluates models, and has no driver for the solver", found->name, found->description),
      "use --device cpu");
#else
  if (device == "cpu") return nullptr;
  return open_backend(device, pool);
#endif
}

}  // namespace coala
