#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lm/gguf_file.h"

struct ggml_backend_device;

namespace coala {

/// Where a model is to be evaluated.
struct DeviceChoice {
  /// "cpu"; a device's name, "vulkan:0"; "auto": the first device that is hardware, else the CPU.
  std::string device = "cpu";
  /// How many of the model's layers: its last ones, and of those its output matrix first, which counts as one (as
  /// llama.cpp counts). None: all.
  std::optional<std::size_t> layers = {};
};

/// Something that this build can evaluate models with.
struct DeviceInfo {
  std::string name;              ///< "cpu", "vulkan:0"
  std::string description = {};  ///< as its driver names it
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
  bool software = false;  ///< a device that is a program on the CPU, such as llvmpipe
};

/// The CPU, and the devices that this build can use and that are there.
std::vector<DeviceInfo> list_devices();

/// The one that DeviceChoice::device names; none: the CPU.
/// @param news  receives what to tell the user, or nothing
/// @throws Error{NotBuilt} for a device of a kind that is not in this build, Error{BadUsage} for one that is not there
std::optional<DeviceInfo> find_device(const std::string& device, std::string& news);

/// Where a model's layers are.
struct Placement {
  ggml_backend_device* device = nullptr;  ///< nullptr: all of them on the CPU
  std::string name = "cpu";
  std::size_t layers = 0;      ///< on the device
  std::size_t all_layers = 0;  ///< blocks, and one for the output matrix
  std::string rounding;        ///< for people and files: what rounds the states, and in how many layers; "": the CPU
  std::string news;            ///< what to tell the user; "": nothing
};

/// Finds the device, and checks that it has room for what it is given.
/// @throws Error{NotBuilt} for a device of a kind that is not in this build, Error{BadUsage} for one that is not there,
///   for layers without a device, and for a model that does not fit, with the number of layers that do
Placement place_model(const GgufFile& file, const std::string& model_name, const DeviceChoice& choice);

/// What a device has to hold of a model beside what every layer needs: first the output matrix, then the blocks from
/// the last one, each with its cache.
struct LayerBytes {
  std::uint64_t common = 0;           ///< scores and logits of a batch
  std::vector<std::uint64_t> layers;  ///< [blocks + 1]
};
/// Computed from the tensors' sizes; of cache and batch, for kPlannedCells tokens and kPlannedRows rows in single
/// precision, as our contexts have them (lm/context.h).
LayerBytes layer_bytes(const GgufFile& file);
inline constexpr std::uint64_t kPlannedCells = 2048;
inline constexpr std::uint64_t kPlannedRows = 512;

/// How many of the layers fit into so many bytes, in the order of LayerBytes.
std::size_t layers_that_fit(const LayerBytes& model, std::uint64_t free_bytes);

/// Has the device room for so many of the model's layers?
/// @throws Error{BadUsage} with the number of those that fit
void check_room(const LayerBytes& model, const std::string& model_name, const DeviceInfo& device, std::size_t layers);

}  // namespace coala
