#pragma once

#include <vulkan/vulkan.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "linalg/backend.h"
#include "linalg/vulkan/kernels.h"

namespace coala {

class VulkanDevice;

/// Memory of a device; goes back to it.
class VulkanMemory : public BackendMemory {
 public:
  /// @param staging  memory that the host sees: never handed out for vectors, which would be slow in it
  VulkanMemory(VulkanDevice& device, VkBuffer buffer, VkDeviceMemory memory, std::uint64_t bytes, bool staging)
      : device_(&device), buffer_(buffer), memory_(memory), bytes_(bytes), staging_(staging) {}
  ~VulkanMemory() override;
  VulkanMemory(const VulkanMemory&) = delete;
  VulkanMemory& operator=(const VulkanMemory&) = delete;

  VkBuffer buffer() const { return buffer_; }
  VkDeviceMemory memory() const { return memory_; }
  std::uint64_t bytes() const { return bytes_; }
  bool staging() const { return staging_; }

 private:
  VulkanDevice* device_;
  VkBuffer buffer_;
  VkDeviceMemory memory_;
  std::uint64_t bytes_;
  bool staging_;
};

/// Devices with a queue that computes, hardware first.
/// @returns  their drivers' names for them
std::vector<std::string> vulkan_devices();

/// A device with one queue. Orders are noted and given to it when somebody waits; each begins when the one before it
/// has ended. Failures of the driver are thrown as Error.
class VulkanDevice {
 public:
  /// @param number  in vulkan_devices()
  /// @throws Error{BadUsage} when it is not there, or lacks what the kernels need
  VulkanDevice(std::size_t number, Traffic& traffic);
  ~VulkanDevice();
  VulkanDevice(const VulkanDevice&) = delete;
  VulkanDevice& operator=(const VulkanDevice&) = delete;

  const std::string& description() const { return description_; }
  const VkPhysicalDeviceLimits& limits() const { return limits_; }

  /// What is not in use of its largest memory of its own: by anybody where the driver tells, else as if nobody had any.
  /// Gives memory that waits to be used again back first.
  std::uint64_t free_bytes();
  /// @throws Error{BadUsage} for more than a kernel may see, Error{OutOfMemory}
  std::unique_ptr<VulkanMemory> allocate(std::uint64_t bytes);
  /// Bytes from host memory, which may be changed afterwards.
  void write(const VulkanMemory& to, std::uint64_t offset, std::span<const std::byte> bytes);
  /// The first bytes of a memory, until the next call.
  std::span<const std::byte> read(const VulkanMemory& from, std::uint64_t bytes);
  void copy(const VulkanMemory& from, const VulkanMemory& to, std::uint64_t bytes);
  /// @param constants  specialisation constants 0, 1, ...
  /// @param memory     of bindings 0, 1, ...; null: not used by this kernel
  /// @param push       parameters, 128 bytes at most
  void launch(VulkanKernel kernel, std::span<const std::uint32_t> constants,
              std::span<const VulkanMemory* const> memory, std::span<const std::byte> push, std::uint32_t groups_x,
              std::uint32_t groups_y = 1);
  void wait();

 private:
  friend class VulkanMemory;

  struct Mapped {
    std::unique_ptr<VulkanMemory> memory;
    std::byte* data = nullptr;
  };

  void open(std::size_t number);
  /// Memory for a buffer with these needs: of a kind that has what is wanted, and what is liked where there is one.
  VkResult find_memory(const VkMemoryRequirements& needs, VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags liked,
                       VkDeviceMemory& memory);
  std::unique_ptr<VulkanMemory> make(std::uint64_t bytes, VkMemoryPropertyFlags wanted, VkMemoryPropertyFlags liked);
  Mapped map(std::uint64_t bytes, VkMemoryPropertyFlags liked);
  void give_back(VulkanMemory& memory) noexcept;
  void free(VkBuffer buffer, VkDeviceMemory memory) noexcept;
  void free_unused() noexcept;
  VkCommandBuffer orders();
  /// What comes next sees what came before.
  void barrier();
  VkPipeline pipeline(VulkanKernel kernel, std::span<const std::uint32_t> constants);
  void close() noexcept;

  Traffic* traffic_;
  std::string description_;
  VkPhysicalDeviceLimits limits_{};
  VkPhysicalDeviceMemoryProperties kinds_{};
  VkInstance instance_ = VK_NULL_HANDLE;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkCommandPool command_pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  VkDescriptorSetLayout set_layout_ = VK_NULL_HANDLE;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkDescriptorPool sets_ = VK_NULL_HANDLE;
  std::size_t sets_used_ = 0;
  bool noting_ = false;
  std::map<std::pair<VulkanKernel, std::vector<std::uint32_t>>, VkPipeline> pipelines_;
  std::multimap<std::uint64_t, std::pair<VkBuffer, VkDeviceMemory>> unused_;  ///< by bytes
  std::unique_ptr<VulkanMemory> nothing_;                                     ///< for bindings without memory
  Mapped to_device_;
  std::uint64_t to_device_used_ = 0;
  Mapped to_host_;
};

}  // namespace coala
