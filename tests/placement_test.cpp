// Which layers of a model a device has room for, and what is said of devices that are not there. device_test.cpp
// computes on one.
#include <gtest/gtest.h>

#include "lm/backbone.h"
#include "lm/devices.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::test_file;

/// Bytes of the tensors whose name begins so.
std::uint64_t bytes_of(const GgufFile& file, std::string_view beginning) {
  std::uint64_t sum = 0;
  for (const GgufTensor& tensor : file.tensors) sum += tensor.name.starts_with(beginning) ? tensor.bytes : 0;
  return sum;
}

/// The tiny model: two blocks, 4 heads of 8, 2 of them for keys and values, 256 tokens of context, 298 words, an output
/// matrix of its own.
TEST(LayerBytes, AreThoseOfTensorsCacheAndBatch) {
  const GgufFile file = read_gguf_header(test_file("tiny-llama.gguf"));
  const LayerBytes bytes = layer_bytes(file);
  const std::uint64_t cache = std::uint64_t{2} * 2 * 8 * 256 * 4;
  EXPECT_EQ(bytes.common, std::uint64_t{512} * (4 * 256 + 298) * 4);
  EXPECT_EQ(bytes.layers, (std::vector<std::uint64_t>{bytes_of(file, "output"), bytes_of(file, "blk.1.") + cache,
                                                      bytes_of(file, "blk.0.") + cache}));
  EXPECT_EQ(bytes.layers[0], 298u * 32 * 4 + 32 * 4);
}

TEST(LayerBytes, OfATiedModelHaveTheEmbeddingAsOutput) {
  GgufFile file = read_gguf_header(test_file("tiny-llama.gguf"));
  const std::uint64_t own = layer_bytes(file).layers[0];
  std::erase_if(file.tensors, [](const GgufTensor& tensor) { return tensor.name == "output.weight"; });
  EXPECT_EQ(layer_bytes(file).layers[0], own) << "both matrices have the same size";
}

TEST(LayersThatFit, CountFromTheOutputOn) {
  const LayerBytes model{.common = 100, .layers = {50, 10, 10, 10}};
  EXPECT_EQ(layers_that_fit(model, 0), 0u);
  EXPECT_EQ(layers_that_fit(model, 149), 0u);
  EXPECT_EQ(layers_that_fit(model, 150), 1u);
  EXPECT_EQ(layers_that_fit(model, 179), 3u);
  EXPECT_EQ(layers_that_fit(model, 180), 4u);
  EXPECT_EQ(layers_that_fit(model, std::uint64_t{1} << 60), 4u);
}

TEST(CheckRoom, SaysHowManyLayersFit) {
  const LayerBytes model{.common = 100'000'000, .layers = {50'000'000, 10'000'000, 10'000'000, 10'000'000}};
  DeviceInfo device{.name = "vulkan:0", .free_bytes = 170'000'000};
  check_room(model, "big", device, 3);
  check_room(model, "big", device, 0);
  try {
    check_room(model, "big", device, 4);
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadUsage);
    EXPECT_STREQ(error.what(), "4 of big's 4 layers need 180.0 MB on vulkan:0, where 170.0 MB are free: 3 of them fit");
    EXPECT_EQ(error.hint(), "use --gpu-layers 3, or a smaller quantisation of the model");
  }
  device.free_bytes = 1000;
  try {
    check_room(model, "big", device, 1);
    ADD_FAILURE() << "no error was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.hint(), "use --device cpu, or a smaller model");
  }
}

TEST(Devices, BeginWithTheCpu) {
  const std::vector<DeviceInfo> devices = list_devices();
  ASSERT_FALSE(devices.empty());
  EXPECT_EQ(devices[0].name, "cpu");
  EXPECT_FALSE(devices[0].description.empty());
  EXPECT_GT(devices[0].free_bytes, 0u);
  EXPECT_LT(devices[0].free_bytes, devices[0].total_bytes);
  bool software = false;
  for (const DeviceInfo& device : devices) {
    EXPECT_TRUE(!software || device.software) << "hardware comes first";
    software = device.software;
  }
}

TEST(Placement, IsOnTheCpuUnlessADeviceIsNamed) {
  const Backbone backbone(test_file("tiny-llama.gguf"));
  EXPECT_EQ(backbone.placement().device, nullptr);
  EXPECT_EQ(backbone.placement().name, "cpu");
  EXPECT_EQ(backbone.placement().layers, 0u);
  EXPECT_EQ(backbone.placement().all_layers, 3u);
  EXPECT_EQ(backbone.identity().device, "");
}

TEST(Placement, RefusesDevicesThatAreNotThere) {
  const GgufFile file = read_gguf_header(test_file("tiny-llama.gguf"));
  const auto code = [&](const DeviceChoice& choice) {
    return error_code_of([&] { place_model(file, "tiny", choice); });
  };
  EXPECT_EQ(code({"cuda:0"}), ErrorCode::BadUsage);
  EXPECT_EQ(code({""}), ErrorCode::BadUsage);
  EXPECT_EQ(code({"cpu", 1}), ErrorCode::BadUsage) << "layers on a device that is none";
  const ErrorCode missing = code({"vulkan:9999"});  // not built, or not there
  EXPECT_TRUE(missing == ErrorCode::NotBuilt || missing == ErrorCode::BadUsage);
  EXPECT_EQ(place_model(file, "tiny", {"cpu", 0}).layers, 0u);
}

}  // namespace
}  // namespace coala
