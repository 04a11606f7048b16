#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "linalg/backend.h"

namespace coala::test {

/// The CPU, but rows and features are loaded as a device loads them.
class CpuDevice : public Backend {
 public:
  explicit CpuDevice(ThreadPool& pool)
      : Backend("device:0", "the CPU", /*on_host=*/false), cpu_(open_backend("cpu", pool)) {}

  Buffer allocate(std::size_t size) override { return cpu_->allocate(size); }
  Buffer constant(std::span<const float> values) override { return cpu_->constant(values); }
  void upload(std::span<const float> values, Buffer& to) override { cpu_->upload(values, to); }
  std::span<const float> read(const Buffer& from) override { return cpu_->read(from); }
  void copy(const Buffer& from, Buffer& to) override { cpu_->copy(from, to); }
  std::uint64_t free_bytes() override { return room; }
  std::shared_ptr<const LoadedFeatures> load_features(const GatedData& data) override {
    struct Features : LoadedFeatures {};
    for (const GatedData::Segment& segment : data.segments) feature_rows += segment.plus.rows();
    return std::make_shared<Features>();
  }
  std::unique_ptr<PassRows> load_rows(GatedData data) override {
    ++loads;
    if (data.loaded) ++loads_of_features;
    return cpu_->load_rows(std::move(data));
  }
  void gated_pass(PassRows& rows, const GatedPass& pass) override { cpu_->gated_pass(rows, pass); }
  void product(const Product& product) override { cpu_->product(product); }
  void proximal_step(const ProximalStep& step) override { cpu_->proximal_step(step); }
  std::vector<double> dots(const Buffer& a, const Buffer& b, std::size_t rows) override {
    return cpu_->dots(a, b, rows);
  }
  BackendSums sums() override { return cpu_->sums(); }

  std::uint64_t room = UINT64_MAX;  ///< bytes that it says are free
  std::size_t feature_rows = 0;     ///< loaded by themselves
  int loads = 0;                    ///< of rows
  int loads_of_features = 0;        ///< of these, with features that were there

 private:
  std::unique_ptr<Backend> cpu_;
};

}  // namespace coala::test
