#include "lm/devices.h"

#include <fmt/format.h>
#include <ggml-backend.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <numeric>

#include "core/byte_text.h"
#include "core/error.h"
#include "lm/cpu_backend.h"
#include "lm/log_sink.h"

namespace coala {
namespace {

/// The kind of devices that this build has beside the CPU (CMake's COALA_DEVICE); "" for none.
constexpr std::string_view kBuilt = COALA_DEVICE;
/// What a build can have.
constexpr std::string_view kKnown = "vulkan";
constexpr const char* kHowToBuild =
    "build with `make build DEVICE=vulkan` and use build-vulkan/bin/coala, or leave --device out";

struct Device {
  ggml_backend_dev_t handle = nullptr;
  DeviceInfo info;
};

/// Asks a back end that changes.patch has taught the answer.
bool ask(ggml_backend_dev_t device, const char* question) {
  using Question = bool (*)(ggml_backend_dev_t);
  const auto function =
      reinterpret_cast<Question>(ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(device), question));
  return function != nullptr && function(device);
}

/// Those beside the CPU. A back end numbers its devices itself, hardware first.
std::vector<Device> find_devices() {
  start_llama();
  std::vector<Device> devices;
  for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    const ggml_backend_dev_t handle = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(handle);
    if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) continue;
    std::size_t free = 0, total = 0;
    ggml_backend_dev_memory(handle, &free, &total);
    devices.push_back({handle,
                       {.name = fmt::format("{}:{}", kBuilt, devices.size()),
                        .description = ggml_backend_dev_description(handle),
                        .free_bytes = free,
                        .total_bytes = total,
                        .software = ask(handle, "ggml_backend_vk_is_software")}});
  }
  return devices;
}

/// A line of /proc/meminfo, in bytes.
std::uint64_t memory_of_machine(std::string_view wanted) {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::uint64_t kibibytes = 0;
  while (file >> key >> kibibytes && std::getline(file, unit)) {
    if (key == wanted) return 1024 * kibibytes;
  }
  return 0;
}

/// "vulkan:0 (llvmpipe), vulkan:1 (..)"
std::string names_of(const std::vector<Device>& devices) {
  std::string names;
  for (const Device& device : devices) {
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", device.info.name, device.info.description);
  }
  return names;
}

Error not_there(const std::string& name, const std::vector<Device>& devices) {
  return Error(
      ErrorCode::BadUsage,
      fmt::format("there is no device {}; {}", name,
                  devices.empty() ? fmt::format("no {} driver finds any", kBuilt) : "there are " + names_of(devices)),
      devices.empty() ? "install the driver of your card, or leave --device out: the CPU computes"
                      : "`coala devices` lists them with their memory");
}

/// The device that is chosen; none: the CPU.
std::optional<Device> choose(const std::string& name, std::string& news) {
  if (name == "cpu" || (name == "auto" && kBuilt.empty())) return std::nullopt;
  if (name == "auto") {
    const std::vector<Device> devices = find_devices();
    const auto hardware = std::ranges::find(devices, false, [](const Device& device) { return device.info.software; });
    if (hardware != devices.end()) return *hardware;
    news = devices.empty()
               ? "no device is found: the CPU computes"
               : fmt::format("the CPU computes: {} is a program, and used only when it is named", names_of(devices));
    return std::nullopt;
  }
  const std::string kind = name.substr(0, name.find(':'));
  if (kind != kKnown) {
    throw Error(ErrorCode::BadUsage, fmt::format("'{}' is not a device", name),
                "use --device auto, cpu or vulkan:0; `coala devices` lists what this build has");
  }
  if (kBuilt.empty()) {
    throw Error(ErrorCode::NotBuilt, fmt::format("this build has no device {}: it computes on the CPU", name),
                kHowToBuild);
  }
  const std::vector<Device> devices = find_devices();
  const auto found = std::ranges::find(devices, name, [](const Device& device) { return device.info.name; });
  if (found == devices.end()) throw not_there(name, devices);
  return *found;
}

}  // namespace

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> list{{.name = "cpu",
                                .description = ggml_backend_dev_description(cpu_backend().device),
                                .free_bytes = memory_of_machine("MemAvailable:"),
                                .total_bytes = memory_of_machine("MemTotal:")}};
  for (Device& device : find_devices()) list.push_back(std::move(device.info));
  return list;
}

std::optional<DeviceInfo> find_device(const std::string& device, std::string& news) {
  std::optional<Device> found = choose(device, news);
  return found ? std::optional(std::move(found->info)) : std::nullopt;
}

LayerBytes layer_bytes(const GgufFile& file) {
  const std::string architecture = file.text("general.architecture");
  const auto number = [&](const char* key, std::int64_t fallback) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, file.integer(architecture + key, fallback)));
  };
  const std::uint64_t blocks = number(".block_count", 0);
  const std::uint64_t heads = number(".attention.head_count", 1);
  const std::uint64_t kv_heads = number(".attention.head_count_kv", static_cast<std::int64_t>(heads));
  const std::uint64_t width =
      number(".attention.key_length",
             static_cast<std::int64_t>(number(".embedding_length", 0) / std::max<std::uint64_t>(1, heads)));
  const std::uint64_t cells =
      std::min(kPlannedCells, std::max<std::uint64_t>(1, number(".context_length", kPlannedCells)));
  const auto words = file.array_counts.find("tokenizer.ggml.tokens");
  const std::uint64_t vocabulary = words == file.array_counts.end() ? 0 : words->second;

  LayerBytes result;
  result.common = kPlannedRows * (heads * cells + vocabulary) * sizeof(float);
  result.layers.assign(blocks + 1, 2 * kv_heads * width * cells * sizeof(float));
  result.layers.front() = 0;  // has no cache
  const bool tied = std::ranges::none_of(file.tensors, [](const GgufTensor& t) { return t.name == "output.weight"; });
  constexpr std::string_view kBlock = "blk.";
  for (const GgufTensor& tensor : file.tensors) {
    if (tensor.name.starts_with(kBlock)) {
      std::uint64_t block = 0;
      std::from_chars(tensor.name.data() + kBlock.size(), tensor.name.data() + tensor.name.size(), block);
      if (block < blocks) result.layers[blocks - block] += tensor.bytes;
    } else if (tensor.name.starts_with("output") || (tied && tensor.name == "token_embd.weight")) {
      result.layers.front() += tensor.bytes;
    }
  }
  return result;
}

std::size_t layers_that_fit(const LayerBytes& model, std::uint64_t free_bytes) {
  std::uint64_t needed = model.common;
  std::size_t count = 0;
  while (count < model.layers.size() && (needed += model.layers[count]) <= free_bytes) ++count;
  return count;
}

void check_room(const LayerBytes& bytes, const std::string& model_name, const DeviceInfo& device, std::size_t layers) {
  const std::size_t fitting = layers_that_fit(bytes, device.free_bytes);
  if (layers <= fitting) return;
  const std::uint64_t needed =
      std::accumulate(bytes.layers.begin(), bytes.layers.begin() + static_cast<std::ptrdiff_t>(layers), bytes.common);
  throw Error(
      ErrorCode::BadUsage,
      fmt::format("{} of {}'s {} layers need {} on {}, where {} are free: {} of them fit", layers, model_name,
                  bytes.layers.size(), in_megabytes(needed), device.name, in_megabytes(device.free_bytes), fitting),
      fitting == 0 ? "use --device cpu, or a smaller model"
                   : fmt::format("use --gpu-layers {}, or a smaller quantisation of the model", fitting));
}

Placement place_model(const GgufFile& file, const std::string& model_name, const DeviceChoice& choice) {
  Placement placement;
  const LayerBytes bytes = layer_bytes(file);
  placement.all_layers = bytes.layers.size();
  const std::optional<Device> device = choose(choice.device, placement.news);
  if (!device) {
    if (choice.layers.value_or(0) > 0) {
      throw Error(
          ErrorCode::BadUsage, fmt::format("--gpu-layers {} is given, and the model is on the CPU", *choice.layers),
          kBuilt.empty()
              ? "leave --gpu-layers out, or build with `make build DEVICE=vulkan` and use build-vulkan/bin/coala"
              : "name a device, such as --device vulkan:0, or leave --gpu-layers out");
    }
    return placement;
  }
  placement.layers = std::min(choice.layers.value_or(placement.all_layers), placement.all_layers);
  check_room(bytes, model_name, device->info, placement.layers);
  if (placement.layers == 0) return placement;
  placement.device = device->handle;
  placement.name = device->info.name;
  placement.rounding = fmt::format("{} {}, {} of {} layers, {}", kBuilt,
                                   ask(device->handle, "ggml_backend_vk_sums_in_half") ? "f16" : "f32",
                                   placement.layers, placement.all_layers, device->info.description);
  placement.news = fmt::format("{} of {} layers are on {} ({})", placement.layers, placement.all_layers,
                               device->info.name, device->info.description);
  return placement;
}

}  // namespace coala
