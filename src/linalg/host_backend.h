#pragma once

#include "linalg/backend.h"

namespace coala {

/// The CPU: buffers are host memory, passes are those of linalg/host_rows.h with sums in double, and every call ends
/// when its work is done. Results are the same bits whatever the number of threads.
class HostBackend : public Backend {
 public:
  explicit HostBackend(ThreadPool& pool);

  Buffer allocate(std::size_t size) override;
  Buffer constant(std::span<const float> values) override;
  void upload(std::span<const float> values, Buffer& to) override;
  std::span<const float> read(const Buffer& from) override;
  void copy(const Buffer& from, Buffer& to) override;
  std::unique_ptr<PassRows> load_rows(GatedData data) override;
  void gated_pass(PassRows& rows, const GatedPass& pass) override;
  void product(const Product& product) override;
  void proximal_step(const ProximalStep& step) override;
  std::vector<double> dots(const Buffer& a, const Buffer& b, std::size_t rows) override;
  BackendSums sums() override { return sums_; }

 private:
  ThreadPool* pool_;
  BackendSums sums_;
};

}  // namespace coala
