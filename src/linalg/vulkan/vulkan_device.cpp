#include "linalg/vulkan/vulkan_device.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace coala {
namespace {

constexpr std::uint32_t kBindings = 16;
constexpr std::uint32_t kMostPush = 128;  // every device has as much
constexpr std::size_t kMostSets = 256;
constexpr std::uint64_t kStagingBytes = 8u << 20;
/// Memory of this size and more goes back to the driver at once: rows of features, not the vectors of a solve.
constexpr std::uint64_t kLarge = 32u << 20;

void check(VkResult result, const char* what) {
  if (result == VK_SUCCESS) return;
  const bool memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
  throw Error(memory ? ErrorCode::OutOfMemory : ErrorCode::Internal,
              "the Vulkan driver refused to " + std::string(what) + " (VkResult " + std::to_string(result) + ")",
              memory ? "use the CPU, or fewer rows" : "use the CPU");
}

VkInstance make_instance() {
  const VkApplicationInfo application{.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                      .pNext = nullptr,
                                      .pApplicationName = "coala",
                                      .applicationVersion = 0,
                                      .pEngineName = nullptr,
                                      .engineVersion = 0,
                                      .apiVersion = VK_API_VERSION_1_1};
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  VkInstance instance = VK_NULL_HANDLE;
  return vkCreateInstance(&info, nullptr, &instance) == VK_SUCCESS ? instance : VK_NULL_HANDLE;
}

/// The first queue family that computes, or none.
std::vector<std::uint32_t> computing_family(VkPhysicalDevice device) {
  std::uint32_t count = 0;
  vkGetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vkGetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
  for (std::uint32_t k = 0; k < count; ++k) {
    if ((families[k].queueFlags & VK_QUEUE_COMPUTE_BIT) != 0) return {k};
  }
  return {};
}

bool has_extension(VkPhysicalDevice device, std::string_view name) {
  std::uint32_t count = 0;
  vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> extensions(count);
  vkEnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
  return std::ranges::any_of(extensions, [&](const VkExtensionProperties& one) { return name == one.extensionName; });
}

struct Found {
  VkPhysicalDevice device;
  VkPhysicalDeviceProperties properties;
};

std::vector<Found> devices_of(VkInstance instance) {
  std::vector<Found> found;
  std::uint32_t count = 0;
  if (instance == VK_NULL_HANDLE || vkEnumeratePhysicalDevices(instance, &count, nullptr) != VK_SUCCESS) return found;
  std::vector<VkPhysicalDevice> devices(count);
  if (vkEnumeratePhysicalDevices(instance, &count, devices.data()) < VK_SUCCESS) return found;
  devices.resize(count);
  for (const VkPhysicalDevice device : devices) {
    Found one{device, {}};
    vkGetPhysicalDeviceProperties(device, &one.properties);
    if (one.properties.apiVersion >= VK_API_VERSION_1_1 && !computing_family(device).empty()) found.push_back(one);
  }
  std::stable_partition(found.begin(), found.end(),
                        [](const Found& one) { return one.properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU; });
  return found;
}

}  // namespace

VulkanMemory::~VulkanMemory() {
  device_->give_back(*this);
}

std::vector<std::string> vulkan_devices() {
  const VkInstance instance = make_instance();
  std::vector<std::string> names;
  for (const Found& one : devices_of(instance)) names.emplace_back(one.properties.deviceName);
  if (instance != VK_NULL_HANDLE) vkDestroyInstance(instance, nullptr);
  return names;
}

VulkanDevice::VulkanDevice(std::size_t number, Traffic& traffic) : traffic_(&traffic) {
  try {
    open(number);
  } catch (...) {
    close();
    throw;
  }
}

void VulkanDevice::open(std::size_t number) {
  instance_ = make_instance();
  const std::vector<Found> found = devices_of(instance_);
  if (number >= found.size()) {
    std::string names;
    for (std::size_t k = 0; k < found.size(); ++k) {
      names += (k > 0 ? ", vulkan:" : "vulkan:") + std::to_string(k) + " (" + found[k].properties.deviceName + ")";
    }
    throw Error(ErrorCode::BadUsage,
                "there is no vulkan:" + std::to_string(number) + " for the solver; there is " +
                    (names.empty() ? "no device with a driver of Vulkan 1.1" : names),
                names.empty() ? "use the CPU" : "use one of these, or the CPU");
  }
  physical_ = found[number].device;
  description_ = found[number].properties.deviceName;
  limits_ = found[number].properties.limits;
  if (limits_.maxPerStageDescriptorStorageBuffers < kBindings || limits_.maxComputeWorkGroupInvocations < 128) {
    throw Error(ErrorCode::BadUsage, description_ + " has too few storage buffers or lanes for the solver's kernels",
                "use the CPU");
  }
  vkGetPhysicalDeviceMemoryProperties(physical_, &kinds_);

  const std::uint32_t family = computing_family(physical_).front();
  constexpr float kPriority = 1;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &kPriority;
  VkDeviceCreateInfo device{};
  device.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  device.queueCreateInfoCount = 1;
  device.pQueueCreateInfos = &queue;
  check(vkCreateDevice(physical_, &device, nullptr, &device_), "open the device");
  vkGetDeviceQueue(device_, family, 0, &queue_);

  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.queueFamilyIndex = family;
  check(vkCreateCommandPool(device_, &pool, nullptr, &command_pool_), "make a command pool");
  VkCommandBufferAllocateInfo commands{};
  commands.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  commands.commandPool = command_pool_;
  commands.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  commands.commandBufferCount = 1;
  check(vkAllocateCommandBuffers(device_, &commands, &commands_), "make a command buffer");
  VkFenceCreateInfo fence{};
  fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  check(vkCreateFence(device_, &fence, nullptr, &fence_), "make a fence");

  std::vector<VkDescriptorSetLayoutBinding> bindings(kBindings);
  for (std::uint32_t k = 0; k < kBindings; ++k) {
    bindings[k] = {k, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1, VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
  }
  VkDescriptorSetLayoutCreateInfo set_layout{};
  set_layout.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  set_layout.bindingCount = kBindings;
  set_layout.pBindings = bindings.data();
  check(vkCreateDescriptorSetLayout(device_, &set_layout, nullptr, &set_layout_), "make a layout of bindings");
  const VkPushConstantRange range{VK_SHADER_STAGE_COMPUTE_BIT, 0, kMostPush};
  VkPipelineLayoutCreateInfo layout{};
  layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  layout.setLayoutCount = 1;
  layout.pSetLayouts = &set_layout_;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  check(vkCreatePipelineLayout(device_, &layout, nullptr, &layout_), "make a pipeline layout");
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, kBindings * kMostSets};
  VkDescriptorPoolCreateInfo sets{};
  sets.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  sets.maxSets = kMostSets;
  sets.poolSizeCount = 1;
  sets.pPoolSizes = &size;
  check(vkCreateDescriptorPool(device_, &sets, nullptr, &sets_), "make a pool of bindings");

  nothing_ = allocate(sizeof(float));
  to_device_ = map(kStagingBytes, 0);
}

VulkanDevice::~VulkanDevice() {
  close();
}

void VulkanDevice::close() noexcept {
  if (device_ != VK_NULL_HANDLE) {
    vkDeviceWaitIdle(device_);
    nothing_.reset();
    to_device_.memory.reset();
    to_host_.memory.reset();
    free_unused();
    for (const auto& [key, pipeline] : pipelines_) vkDestroyPipeline(device_, pipeline, nullptr);
    vkDestroyDescriptorPool(device_, sets_, nullptr);
    vkDestroyPipelineLayout(device_, layout_, nullptr);
    vkDestroyDescriptorSetLayout(device_, set_layout_, nullptr);
    vkDestroyFence(device_, fence_, nullptr);
    vkDestroyCommandPool(device_, command_pool_, nullptr);
    vkDestroyDevice(device_, nullptr);
  }
  if (instance_ != VK_NULL_HANDLE) vkDestroyInstance(instance_, nullptr);
}

VkResult VulkanDevice::find_memory(const VkMemoryRequirements& needs, VkMemoryPropertyFlags wanted,
                                   VkMemoryPropertyFlags liked, VkDeviceMemory& memory) {
  VkResult result = VK_ERROR_OUT_OF_DEVICE_MEMORY;
  for (const VkMemoryPropertyFlags flags : {wanted | liked, wanted}) {
    for (std::uint32_t k = 0; k < kinds_.memoryTypeCount; ++k) {
      if ((needs.memoryTypeBits >> k & 1) == 0 || (kinds_.memoryTypes[k].propertyFlags & flags) != flags) continue;
      VkMemoryAllocateInfo allocation{};
      allocation.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
      allocation.allocationSize = needs.size;
      allocation.memoryTypeIndex = k;
      result = vkAllocateMemory(device_, &allocation, nullptr, &memory);
      if (result == VK_SUCCESS) return result;
    }
  }
  memory = VK_NULL_HANDLE;  // a driver that refuses may have left anything there
  return result;
}

std::unique_ptr<VulkanMemory> VulkanDevice::make(std::uint64_t bytes, VkMemoryPropertyFlags wanted,
                                                 VkMemoryPropertyFlags liked) {
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  VkBuffer buffer = VK_NULL_HANDLE;
  check(vkCreateBuffer(device_, &info, nullptr, &buffer), "make a buffer");
  VkMemoryRequirements needs{};
  vkGetBufferMemoryRequirements(device_, buffer, &needs);
  VkDeviceMemory memory = VK_NULL_HANDLE;
  VkResult result = find_memory(needs, wanted, liked, memory);
  if (result == VK_SUCCESS) result = vkBindBufferMemory(device_, buffer, memory, 0);
  if (result != VK_SUCCESS) {
    free(buffer, memory);
    check(result, ("allocate " + std::to_string(bytes) + " bytes").c_str());
  }
  const bool staging = (wanted & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0;
  return std::make_unique<VulkanMemory>(*this, buffer, memory, bytes, staging);
}

std::uint64_t VulkanDevice::free_bytes() {
  wait();
  free_unused();
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{};
  budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  const bool told = has_extension(physical_, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (told) properties.pNext = &budget;
  vkGetPhysicalDeviceMemoryProperties2(physical_, &properties);
  std::uint64_t most = 0;
  for (std::uint32_t k = 0; k < properties.memoryProperties.memoryHeapCount; ++k) {
    const VkMemoryHeap& heap = properties.memoryProperties.memoryHeaps[k];
    if ((heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) == 0) continue;
    const VkDeviceSize used = told ? std::min(budget.heapUsage[k], budget.heapBudget[k]) : 0;
    most = std::max<std::uint64_t>(most, (told ? budget.heapBudget[k] : heap.size) - used);
  }
  return most;
}

std::unique_ptr<VulkanMemory> VulkanDevice::allocate(std::uint64_t bytes) {
  bytes = std::max<std::uint64_t>(bytes, sizeof(float));
  if (bytes > limits_.maxStorageBufferRange) {
    throw Error(ErrorCode::BadUsage,
                "the solver asks for a vector of " + std::to_string(bytes) + " bytes; kernels on " + description_ +
                    " see " + std::to_string(limits_.maxStorageBufferRange) + " or less",
                "use the CPU, or fewer rows, gates or columns");
  }
  if (const auto unused = unused_.find(bytes); unused != unused_.end()) {
    const auto [buffer, memory] = unused->second;
    unused_.erase(unused);
    return std::make_unique<VulkanMemory>(*this, buffer, memory, bytes, /*staging=*/false);
  }
  try {
    return make(bytes, 0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::OutOfMemory || unused_.empty()) throw;
  }
  wait();
  free_unused();
  return make(bytes, 0, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
}

VulkanDevice::Mapped VulkanDevice::map(std::uint64_t bytes, VkMemoryPropertyFlags liked) {
  Mapped mapped{make(bytes, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, liked)};
  void* data = nullptr;
  check(vkMapMemory(device_, mapped.memory->memory(), 0, VK_WHOLE_SIZE, 0, &data), "map memory");
  mapped.data = static_cast<std::byte*>(data);
  return mapped;
}

void VulkanDevice::give_back(VulkanMemory& memory) noexcept {
  // Staging memory is given up where nothing is noted that uses it: before a read, and at the end.
  if (memory.staging()) return free(memory.buffer(), memory.memory());
  try {
    // Orders that use it come before those that will use it again.
    unused_.emplace(memory.bytes(), std::pair(memory.buffer(), memory.memory()));
    if (memory.bytes() < kLarge) return;
    wait();
  } catch (...) {  // a lost device ends at the next call that can say so
  }
  free_unused();
}

void VulkanDevice::free(VkBuffer buffer, VkDeviceMemory memory) noexcept {
  vkDestroyBuffer(device_, buffer, nullptr);
  vkFreeMemory(device_, memory, nullptr);
}

void VulkanDevice::free_unused() noexcept {
  for (const auto& [bytes, memory] : unused_) free(memory.first, memory.second);
  unused_.clear();
}

VkCommandBuffer VulkanDevice::orders() {
  if (!noting_) {
    VkCommandBufferBeginInfo info{};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    check(vkBeginCommandBuffer(commands_, &info), "begin commands");
    noting_ = true;
  }
  return commands_;
}

void VulkanDevice::barrier() {
  VkMemoryBarrier memory{};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  memory.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  memory.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                         VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT;
  constexpr VkPipelineStageFlags kWork = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
  vkCmdPipelineBarrier(commands_, kWork, kWork | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &memory, 0, nullptr, 0, nullptr);
}

void VulkanDevice::write(const VulkanMemory& to, std::uint64_t offset, std::span<const std::byte> bytes) {
  traffic_->to_device += bytes.size();
  while (!bytes.empty()) {
    if (to_device_used_ == kStagingBytes) wait();
    const std::uint64_t count = std::min<std::uint64_t>(bytes.size(), kStagingBytes - to_device_used_);
    std::memcpy(to_device_.data + to_device_used_, bytes.data(), count);
    const VkBufferCopy region{to_device_used_, offset, count};
    vkCmdCopyBuffer(orders(), to_device_.memory->buffer(), to.buffer(), 1, &region);
    barrier();
    to_device_used_ = std::min(kStagingBytes, (to_device_used_ + count + 15) / 16 * 16);
    offset += count;
    bytes = bytes.subspan(count);
  }
}

std::span<const std::byte> VulkanDevice::read(const VulkanMemory& from, std::uint64_t bytes) {
  if (bytes == 0) return {};
  if (to_host_.memory == nullptr || to_host_.memory->bytes() < bytes) {
    to_host_ = {};
    to_host_ = map(bytes, VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
  }
  copy(from, *to_host_.memory, bytes);
  wait();
  traffic_->to_host += bytes;
  return {to_host_.data, bytes};
}

void VulkanDevice::copy(const VulkanMemory& from, const VulkanMemory& to, std::uint64_t bytes) {
  if (bytes == 0) return;
  const VkBufferCopy region{0, 0, bytes};
  vkCmdCopyBuffer(orders(), from.buffer(), to.buffer(), 1, &region);
  barrier();
}

VkPipeline VulkanDevice::pipeline(VulkanKernel kernel, std::span<const std::uint32_t> constants) {
  VkPipeline& made = pipelines_[{kernel, {constants.begin(), constants.end()}}];
  if (made != VK_NULL_HANDLE) return made;
  const std::span<const std::uint32_t> code = vulkan_code(kernel);
  VkShaderModuleCreateInfo module_info{};
  module_info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  module_info.codeSize = code.size_bytes();
  module_info.pCode = code.data();
  VkShaderModule module = VK_NULL_HANDLE;
  check(vkCreateShaderModule(device_, &module_info, nullptr, &module), "take a kernel");
  std::vector<VkSpecializationMapEntry> entries(constants.size());
  for (std::uint32_t k = 0; k < entries.size(); ++k) entries[k] = {k, k * 4, 4};
  const VkSpecializationInfo values{static_cast<std::uint32_t>(entries.size()), entries.data(), constants.size_bytes(),
                                    constants.data()};
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &values;
  info.layout = layout_;
  const VkResult result = vkCreateComputePipelines(device_, VK_NULL_HANDLE, 1, &info, nullptr, &made);
  vkDestroyShaderModule(device_, module, nullptr);
  check(result, "compile a kernel");
  return made;
}

void VulkanDevice::launch(VulkanKernel kernel, std::span<const std::uint32_t> constants,
                          std::span<const VulkanMemory* const> memory, std::span<const std::byte> push,
                          std::uint32_t groups_x, std::uint32_t groups_y) {
  if (groups_x == 0 || groups_y == 0) return;
  if (sets_used_ == kMostSets) wait();
  const VkPipeline code = pipeline(kernel, constants);
  VkDescriptorSetAllocateInfo allocation{};
  allocation.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
  allocation.descriptorPool = sets_;
  allocation.descriptorSetCount = 1;
  allocation.pSetLayouts = &set_layout_;
  VkDescriptorSet set = VK_NULL_HANDLE;
  check(vkAllocateDescriptorSets(device_, &allocation, &set), "bind buffers");
  ++sets_used_;
  std::vector<VkDescriptorBufferInfo> buffers(kBindings);
  std::vector<VkWriteDescriptorSet> writes(kBindings);
  for (std::uint32_t k = 0; k < kBindings; ++k) {
    const VulkanMemory* const bound = k < memory.size() && memory[k] != nullptr ? memory[k] : nothing_.get();
    buffers[k] = {bound->buffer(), 0, VK_WHOLE_SIZE};
    writes[k] = {};
    writes[k].sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    writes[k].dstSet = set;
    writes[k].dstBinding = k;
    writes[k].descriptorCount = 1;
    writes[k].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[k].pBufferInfo = &buffers[k];
  }
  vkUpdateDescriptorSets(device_, kBindings, writes.data(), 0, nullptr);
  const VkCommandBuffer commands = orders();
  vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, code);
  vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout_, 0, 1, &set, 0, nullptr);
  vkCmdPushConstants(commands, layout_, VK_SHADER_STAGE_COMPUTE_BIT, 0, static_cast<std::uint32_t>(push.size()),
                     push.data());
  vkCmdDispatch(commands, groups_x, groups_y, 1);
  barrier();
  ++traffic_->launches;
}

void VulkanDevice::wait() {
  if (!noting_) return;
  noting_ = false;
  check(vkEndCommandBuffer(commands_), "end commands");
  VkSubmitInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands_;
  check(vkQueueSubmit(queue_, 1, &info, fence_), "take commands");
  check(vkWaitForFences(device_, 1, &fence_, VK_TRUE, UINT64_MAX), "finish its work");
  ++traffic_->waits;
  check(vkResetFences(device_, 1, &fence_), "reset a fence");
  check(vkResetCommandPool(device_, command_pool_, 0), "reset commands");
  check(vkResetDescriptorPool(device_, sets_, 0), "reset bindings");
  sets_used_ = 0;
  to_device_used_ = 0;
}

}  // namespace coala
