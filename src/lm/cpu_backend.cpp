#include "lm/cpu_backend.h"

#include <string>

#include "core/error.h"
#include "lm/log_sink.h"

namespace coala {
namespace {

template <typename Function>
void find(Function& function, ggml_backend_reg_t registry, const char* name) {
  function = reinterpret_cast<Function>(ggml_backend_reg_get_proc_address(registry, name));
  if (function == nullptr) {
    throw Error(ErrorCode::Internal, std::string("ggml's code for the CPU has no ") + name,
                "its library is of another build: install coala again");
  }
}

CpuBackend find_backend() {
  start_llama();
  CpuBackend backend;
  backend.device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  const ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(backend.device);
  find(backend.set_threads, registry, "ggml_backend_set_n_threads");
  find(backend.set_threadpool, registry, "ggml_backend_cpu_set_threadpool");
  find(backend.set_abort_callback, registry, "ggml_backend_set_abort_callback");
  find(backend.threadpool_new, registry, "ggml_threadpool_new");
  find(backend.threadpool_free, registry, "ggml_threadpool_free");
  find(backend.graph_plan, registry, "ggml_graph_plan");
  find(backend.type_traits, registry, "ggml_get_type_traits_cpu");
  find(backend.compute_part, registry, "ggml_cpu_compute_part");
  return backend;
}

}  // namespace

const CpuBackend& cpu_backend() {
  static const CpuBackend backend = find_backend();
  return backend;
}

}  // namespace coala
