#include "linalg/vulkan/vulkan_backend.h"

#include <algorithm>
#include <cassert>
#include <charconv>

#include "core/error.h"
#include "linalg/vulkan/vulkan_device.h"
#include "linalg/vulkan/vulkan_rows.h"

namespace coala {
namespace {

constexpr std::uint32_t kLanes = 128;  // of the kernels without a choice

std::uint32_t narrow(std::size_t value) {
  return static_cast<std::uint32_t>(value);
}
std::uint32_t workgroups(std::size_t count, std::size_t of) {
  return narrow((count + of - 1) / of);
}

const VulkanMemory& memory_of(const Buffer& buffer) {
  return static_cast<const VulkanMemory&>(buffer.memory());
}
const VulkanMemory* memory_of(const Buffer* buffer) {
  return buffer != nullptr ? &memory_of(*buffer) : nullptr;
}

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::size_t number_of(std::string_view name) {
  std::size_t number = 0;
  const std::string_view digits = name.substr(name.find(':') + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw Error(ErrorCode::BadUsage, "'" + std::string(name) + "' is no device",
                "they are called vulkan:0, vulkan:1, ...");
  }
  return number;
}

std::uint32_t loss_constant(const RowLoss& loss) {
  switch (loss.form()) {
    case LossForm::Squared:
      return 0;
    case LossForm::Logistic:
      return 1;
    case LossForm::Other:
      break;
  }
  throw Error(ErrorCode::BadUsage, "there is no kernel of this loss for devices", "use the CPU");
}

class VulkanBackend : public Backend {
 public:
  explicit VulkanBackend(std::string_view name) : VulkanBackend(name, vulkan_devices(), number_of(name)) {}

  Buffer allocate(std::size_t size) override { return {size, device_.allocate(size * sizeof(float))}; }

  Buffer constant(std::span<const float> values) override {
    Buffer buffer = allocate(values.size());
    upload(values, buffer);
    return buffer;
  }

  void upload(std::span<const float> values, Buffer& to) override {
    assert(values.size() == to.size());
    device_.write(memory_of(to), 0, std::as_bytes(values));
  }

  std::span<const float> read(const Buffer& from) override { return floats(memory_of(from), from.size()); }

  void copy(const Buffer& from, Buffer& to) override {
    assert(from.size() == to.size());
    device_.copy(memory_of(from), memory_of(to), from.size() * sizeof(float));
    traffic_.kernel_bytes += 2 * from.size() * sizeof(float);
  }

  std::uint64_t free_bytes() override { return device_.free_bytes(); }
  std::shared_ptr<const LoadedFeatures> load_features(const GatedData& data) override {
    return std::make_shared<const VulkanFeatures>(data, device_);
  }
  std::unique_ptr<PassRows> load_rows(GatedData data) override { return std::make_unique<VulkanRows>(data, device_); }

  void gated_pass(PassRows& rows, const GatedPass& pass) override;
  void product(const Product& product) override;
  void proximal_step(const ProximalStep& step) override;
  std::vector<double> dots(const Buffer& a, const Buffer& b, std::size_t rows) override;
  BackendSums sums() override;

 private:
  VulkanBackend(std::string_view name, const std::vector<std::string>& devices, std::size_t number)
      : Backend(std::string(name), number < devices.size() ? devices[number] : std::string(), /*on_host=*/false),
        device_(number, traffic_),
        record_(device_.allocate(kRecordFloats * sizeof(float))) {}

  std::span<const float> floats(const VulkanMemory& memory, std::size_t count) {
    const std::span<const std::byte> bytes = device_.read(memory, count * sizeof(float));
    return {reinterpret_cast<const float*>(bytes.data()), count};
  }
  /// @param numbers  that the kernel reads or writes
  template <class Push>
  void launch(VulkanKernel kernel, std::initializer_list<const VulkanMemory*> memory, const Push& push,
              std::uint32_t groups_x, std::uint32_t groups_y, std::size_t numbers) {
    device_.launch(kernel, {}, std::span(memory.begin(), memory.size()), bytes_of(push), groups_x, groups_y);
    traffic_.kernel_bytes += numbers * sizeof(float);
  }

  VulkanDevice device_;
  std::unique_ptr<VulkanMemory> record_;
};

void VulkanBackend::gated_pass(PassRows& any_rows, const GatedPass& pass) {
  auto& rows = static_cast<VulkanRows&>(any_rows);
  const bool forward = pass.w != nullptr;
  const bool adjoint = pass.gradient != nullptr;
  const std::size_t weights = rows.groups() * rows.columns();
  const VulkanMemory* w = memory_of(pass.w);
  if (forward && rows.shifted()) {
    const std::uint32_t dimension = narrow(rows.dimension());
    launch(VulkanKernel::FoldTransform, {w, rows.scale(), rows.mean(), rows.folded()}, dimension, narrow(rows.groups()),
           1, 2 * weights + 2 * rows.dimension());
    w = rows.folded();
  }

  struct Push {
    std::uint32_t rows, first, chunk_rows, first_chunk, row_words, columns, margins_are_there, z_is_wanted, r_is_wanted;
    float bias, from_y, from_last;
  };
  const PassAhead ahead = pass.ahead != nullptr ? *pass.ahead : PassAhead{};
  const bool mapped = forward && adjoint;
  const std::uint32_t loss = mapped ? loss_constant(*pass.loss.loss) : 0;
  for (const VulkanRows::Piece& piece : rows.pieces()) {
    const Push push{piece.count,
                    piece.first,
                    rows.chunk_rows(),
                    piece.first_chunk,
                    piece.shape.row_words,
                    rows.columns(),
                    pass.loss.margins != nullptr ? 1u : 0u,
                    pass.z != nullptr ? 1u : 0u,
                    pass.r != nullptr ? 1u : 0u,
                    static_cast<float>(pass.bias),
                    static_cast<float>(ahead.from_y),
                    static_cast<float>(ahead.from_last)};
    const std::uint32_t constants[] = {piece.shape.lanes,
                                       piece.shape.lanes,
                                       narrow(rows.groups()),
                                       piece.shape.pairs,
                                       piece.shape.batch,
                                       piece.shape.sides,
                                       piece.shape.type,
                                       forward ? 1u : 0u,
                                       adjoint ? 1u : 0u,
                                       pass.ahead != nullptr ? 1u : 0u,
                                       loss};
    const VulkanMemory* const memory[] = {piece.x,
                                          piece.masks.get(),
                                          w,
                                          memory_of(pass.loss.labels),
                                          memory_of(pass.loss.weights),
                                          memory_of(pass.loss.margins),
                                          memory_of(ahead.y),
                                          memory_of(ahead.y_r),
                                          memory_of(ahead.last),
                                          record_.get(),
                                          memory_of(pass.z),
                                          memory_of(ahead.z),
                                          memory_of(pass.r),
                                          &rows.gradients(),
                                          &rows.sums(),
                                          piece.places.get()};
    device_.launch(VulkanKernel::GatedPass, constants, memory, bytes_of(push), piece.chunks);
    traffic_.x_bytes += piece.x_bytes();
    traffic_.kernel_bytes += piece.x_bytes();
  }
  std::size_t vectors =
      (pass.z != nullptr ? 1 : 0) + (pass.r != nullptr ? 1 : 0);  // of rows, each read or written once
  if (mapped) vectors += (pass.loss.margins != nullptr ? 3 : 2) + (pass.ahead != nullptr ? 4 : 0);
  traffic_.kernel_bytes += rows.pattern_bytes() + sizeof(float) * (vectors * rows.rows() + (forward ? weights : 0));

  if (adjoint) {
    struct {
      std::uint32_t groups, dimension, columns, chunks, sums_are_there;
    } const push{narrow(rows.groups()), narrow(rows.dimension()), rows.columns(), rows.chunks(), mapped ? 1u : 0u};
    traffic_.kernel_bytes += sizeof(float) * rows.chunks() * weights;  // written by the pass
    launch(VulkanKernel::Collect,
           {&rows.gradients(), &rows.sums(), rows.scale(), rows.mean(), memory_of(pass.gradient), record_.get()}, push,
           workgroups(rows.groups() * rows.dimension(), kLanes) + 1, 1, (rows.chunks() + 1) * weights);
  }
  double entries = 0;
  for (const auto& piece : rows.pieces())
    entries += static_cast<double>(piece.count * piece.shape.sides * rows.dimension());
  rows.count_pass(entries * static_cast<double>(1 + rows.groups()) * ((forward ? 1.0 : 0.0) + (adjoint ? 1.0 : 0.0)));
}

void VulkanBackend::product(const Product& product) {
  struct {
    std::uint32_t m, n, k, transpose_b;
    float alpha, beta;
  } const push{narrow(product.m), narrow(product.n), narrow(product.k), product.transpose_b ? 1u : 0u,
               product.alpha,     product.beta};
  const std::size_t c_times = product.beta != 0 ? 2 : 1;
  launch(VulkanKernel::ProductOfMatrices, {memory_of(product.a), memory_of(product.b), memory_of(product.c)}, push,
         workgroups(product.n, 32), workgroups(product.m, 8),
         product.m * product.k + product.k * product.n + c_times * product.m * product.n);
}

void VulkanBackend::proximal_step(const ProximalStep& step) {
  const std::size_t groups = step.thresholds.size();
  const std::size_t d = step.metric->size();
  const std::vector<float> narrowed(step.thresholds.begin(), step.thresholds.end());
  const Buffer thresholds = constant(narrowed);
  const auto sums = device_.allocate(6 * groups * sizeof(float));
  struct {
    std::uint32_t dimension;
    float curvature;
  } const of_groups{narrow(d), static_cast<float>(step.curvature)};
  launch(VulkanKernel::ProximalStep,
         {memory_of(step.y), memory_of(step.gradient), memory_of(step.last), memory_of(step.metric),
          &memory_of(thresholds), memory_of(step.next), sums.get()},
         of_groups, narrow(groups), 1, 4 * groups * d + d + 7 * groups);
  struct {
    std::uint32_t groups, count;
    float momentum, uphill_beside, square_beside;
  } const of_all{narrow(groups), narrow(groups * d), static_cast<float>(step.momentum), static_cast<float>(step.uphill),
                 static_cast<float>(step.square)};
  launch(VulkanKernel::StepAhead,
         {sums.get(), memory_of(step.next), memory_of(step.last), memory_of(step.ahead), record_.get()}, of_all,
         std::max(1u, workgroups(groups * d, kLanes)), 1, 3 * groups * d + 6 * groups);
}

std::vector<double> VulkanBackend::dots(const Buffer& a, const Buffer& b, std::size_t rows) {
  if (rows == 0) return {};
  const std::uint32_t length = narrow(a.size() / rows);
  const auto products = device_.allocate(2 * rows * sizeof(float));
  launch(VulkanKernel::Dots, {&memory_of(a), &memory_of(b), products.get()}, length, narrow(rows), 1,
         2 * a.size() + 2 * rows);
  const std::span<const float> values = floats(*products, 2 * rows);
  std::vector<double> result(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    result[i] = static_cast<double>(values[2 * i]) + static_cast<double>(values[2 * i + 1]);
  }
  return result;
}

BackendSums VulkanBackend::sums() {
  const std::span<const float> record = floats(*record_, kRecordFloats);
  const auto sum = [&](std::size_t at, std::size_t number) {
    return static_cast<double>(record[at + 2 * number]) + static_cast<double>(record[at + 2 * number + 1]);
  };
  return {{.uphill = sum(kRecordStep, 0),
           .square = sum(kRecordStep, 1),
           .size = sum(kRecordStep, 2),
           .factor = record[kRecordFactor]},
          {.loss = sum(kRecordPass, 0),
           .rise = sum(kRecordPass, 1),
           .absolute = sum(kRecordPass, 2),
           .largest = record[kRecordPass + kPassFloats - 1],
           .ahead_loss = sum(kRecordPass, 3),
           .ahead_slope = sum(kRecordPass, 4)}};
}

}  // namespace

std::vector<std::string> vulkan_device_names() {
  std::vector<std::string> names;
  const std::size_t count = vulkan_devices().size();
  for (std::size_t k = 0; k < count; ++k) names.push_back("vulkan:" + std::to_string(k));
  return names;
}

std::unique_ptr<Backend> open_vulkan_backend(std::string_view name) {
  return std::make_unique<VulkanBackend>(name);
}

}  // namespace coala
