#include "lm/devices.h"

#include <memory>

#include "cli/command.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

void run_devices(const CommonOptions& options) {
  const std::vector<DeviceInfo> devices = list_devices();
  if (options.json) {
    Json json = Json::array();
    for (const DeviceInfo& device : devices) {
      json.push_back({{"name", device.name},
                      {"description", device.description},
                      {"free_bytes", device.free_bytes},
                      {"total_bytes", device.total_bytes},
                      {"software", device.software}});
    }
    print_json({{"devices", json}});
    return;
  }
  const auto gigabytes = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 1e9; };
  for (const DeviceInfo& device : devices) {
    print_out("{:<10} {}: {:.1f} GB free of {:.1f}{}\n", device.name, device.description, gigabytes(device.free_bytes),
              gigabytes(device.total_bytes), device.software ? "; a program, used only when it is named" : "");
  }
}

}  // namespace

void add_devices_command(CLI::App& app) {
  auto options = std::make_shared<CommonOptions>();
  CLI::App& command =
      *app.add_subcommand("devices", "what can evaluate models here: names for --device, with their memory");
  command.add_flag("--json", options->json, "print one machine-readable object on standard output");
  command.callback([options] { run_devices(*options); });
}

}  // namespace coala
