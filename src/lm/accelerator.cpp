#include "lm/accelerator.h"

#include <ggml-backend-impl.h>
#include <ggml-cpu.h>
#include <ggml-impl.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "linalg/dense_kernels.h"
#include "lm/graph_kernels.h"

namespace coala {
namespace {

std::atomic<bool> g_on{true};
thread_local Evaluation t_evaluation;
thread_local ThreadPool* t_threads = nullptr;

/// What a llama.cpp context has of this backend.
struct Instance {
  ggml_backend_t cpu = nullptr;    ///< ggml's own, for everything else
  ggml_backend_t alone = nullptr;  ///< the same on the caller's thread, for what is not worth waking others
  ggml_threadpool_t threads = nullptr;
  ggml_threadpool_t caller = nullptr;  ///< of the calling thread alone
  std::unique_ptr<ThreadPool> pool = std::make_unique<ThreadPool>(1);
  GraphKernels kernels;

  Instance() : kernels(*dense_kernels()) {}
  ~Instance() {
    ggml_backend_free(cpu);
    ggml_backend_free(alone);
    for (ggml_threadpool_t each : {threads, caller}) {
      if (each != nullptr) ggml_threadpool_free(each);
    }
  }
};

Instance& instance(ggml_backend_t backend) {
  return *static_cast<Instance*>(backend->context);
}

ggml_backend_dev_t cpu_device() {
  static ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  return device;
}

/// Numbers that a node writes: rows of the cache are only themselves and not all of the cache.
std::int64_t written_elements(const ggml_tensor& node) {
  if (is_no_operation(node)) return 0;
  return ggml_nelements(node.op == GGML_OP_SET_ROWS ? node.src[0] : &node);
}

/// Is this less work than the threads of a pool need to meet? Norms, rotations and sums of a few rows are.
bool is_light(const ggml_cgraph& part) {
  constexpr std::int64_t kElements = 1 << 17;
  std::int64_t elements = 0;
  for (int i = 0; i < part.n_nodes; ++i) {
    if (part.nodes[i]->op == GGML_OP_MUL_MAT || part.nodes[i]->op == GGML_OP_MUL_MAT_ID) return false;
    elements += written_elements(*part.nodes[i]);
  }
  return elements < kElements;
}

ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
  Instance& self = instance(backend);
  const auto hand_on = [&](int begin, int end) {
    if (begin == end) return GGML_STATUS_SUCCESS;
    ggml_cgraph part = ggml_graph_view(graph, begin, end);
    return ggml_backend_graph_compute(is_light(part) ? self.alone : self.cpu, &part);
  };
  if (!g_on) return hand_on(0, graph->n_nodes);
  self.kernels.begin_graph(t_evaluation.precision);
  t_threads = self.pool.get();
  int begin = 0;  // of the nodes that are not computed yet
  for (int i = 0; i < graph->n_nodes;) {
    const std::span<ggml_tensor* const> rest(graph->nodes + i, static_cast<std::size_t>(graph->n_nodes - i));
    const int taken = self.kernels.match(rest);
    if (taken == 0) {
      ++i;
      continue;
    }
    if (const ggml_status status = hand_on(begin, i); status != GGML_STATUS_SUCCESS) return status;
    self.kernels.run(rest.first(static_cast<std::size_t>(taken)), *self.pool);
    i += taken;
    begin = i;
  }
  return hand_on(begin, graph->n_nodes);
}

/// Nothing is under way here when a call returns, so this copies at once.
void get_tensor(ggml_backend_t, const ggml_tensor* tensor, void* data, std::size_t offset, std::size_t size) {
  if (t_evaluation.states_only && std::strcmp(tensor->name, "result_output") == 0) return;
  ggml_backend_tensor_get(tensor, data, offset, size);
}

/// Without a pool of its own, ggml would set one up for every piece of the graph.
ggml_threadpool_t new_threads(int count) {
  ggml_threadpool_params params = ggml_threadpool_params_default(count);
  params.poll = 0;  // threads that wait for ggml must not keep ours from their cores
  return ggml_threadpool_new(&params);
}

void set_threads(ggml_backend_t backend, int count) {
  Instance& self = instance(backend);
  if (self.pool->size() == count) return;
  self.pool = std::make_unique<ThreadPool>(count);
  ggml_backend_cpu_set_n_threads(self.cpu, count);
  ggml_threadpool_t old = self.threads;
  self.threads = count > 1 ? new_threads(count) : nullptr;
  ggml_backend_cpu_set_threadpool(self.cpu, count > 1 ? self.threads : self.caller);
  if (old != nullptr) ggml_threadpool_free(old);
}

void set_abort_callback(ggml_backend_t backend, ggml_abort_callback callback, void* data) {
  for (ggml_backend_t each : {instance(backend).cpu, instance(backend).alone}) {
    ggml_backend_cpu_set_abort_callback(each, callback, data);
  }
}

const char* name_of_backend(ggml_backend_t) {
  return "coala";
}

void free_backend(ggml_backend_t backend) {
  delete &instance(backend);
  delete backend;
}

ggml_guid_t guid() {
  static ggml_guid value = {0x63, 0x6f, 0x61, 0x6c, 0x61, 0x2d, 0x61, 0x63,
                            0x63, 0x65, 0x6c, 0x00, 0x00, 0x00, 0x00, 0x01};
  return &value;
}

ggml_backend_t init_backend(ggml_backend_dev_t device, const char*) {
  auto self = std::make_unique<Instance>();
  self->caller = new_threads(1);
  for (ggml_backend_t* each : {&self->cpu, &self->alone}) {
    *each = ggml_backend_dev_init(cpu_device(), nullptr);
    if (*each == nullptr) return nullptr;
    ggml_backend_cpu_set_n_threads(*each, 1);
    ggml_backend_cpu_set_threadpool(*each, self->caller);
  }
  ggml_backend_i interface {};
  interface.get_name = &name_of_backend;
  interface.free = &free_backend;
  interface.graph_compute = &compute;
  interface.get_tensor_async = &get_tensor;
  return new ggml_backend{guid(), interface, device, self.release()};
}

const char* name_of_device(ggml_backend_dev_t) {
  return "coala";
}

const char* description_of_device(ggml_backend_dev_t) {
  return "products and attention on the CPU";
}

void memory_of_device(ggml_backend_dev_t, std::size_t* free, std::size_t* total) {
  *free = 0;
  *total = 0;
}

enum ggml_backend_dev_type type_of_device(ggml_backend_dev_t) {
  return GGML_BACKEND_DEVICE_TYPE_ACCEL;
}

void properties_of_device(ggml_backend_dev_t device, ggml_backend_dev_props* properties) {
  ggml_backend_dev_get_props(cpu_device(), properties);
  properties->name = name_of_device(device);
  properties->description = description_of_device(device);
  properties->type = type_of_device(device);
  memory_of_device(device, &properties->memory_free, &properties->memory_total);
}

ggml_backend_buffer_type_t buffer_type_of_device(ggml_backend_dev_t) {
  return ggml_backend_cpu_buffer_type();
}

ggml_backend_buffer_t buffer_from_pointer(ggml_backend_dev_t, void* pointer, std::size_t size, std::size_t) {
  return ggml_backend_cpu_buffer_from_ptr(pointer, size);
}

bool supports_operation(ggml_backend_dev_t, const ggml_tensor* operation) {
  return ggml_backend_dev_supports_op(cpu_device(), operation);
}

bool supports_buffer_type(ggml_backend_dev_t, ggml_backend_buffer_type_t type) {
  return ggml_backend_dev_supports_buft(cpu_device(), type);
}

const char* name_of_registry(ggml_backend_reg_t) {
  return "coala";
}

std::size_t count_devices(ggml_backend_reg_t) {
  return 1;
}

ggml_backend_dev_t device_of_registry(ggml_backend_reg_t registry, std::size_t) {
  static ggml_backend_device device = [registry] {
    ggml_backend_device_i interface {};
    interface.get_name = &name_of_device;
    interface.get_description = &description_of_device;
    interface.get_memory = &memory_of_device;
    interface.get_type = &type_of_device;
    interface.get_props = &properties_of_device;
    interface.init_backend = &init_backend;
    interface.get_buffer_type = &buffer_type_of_device;
    interface.buffer_from_host_ptr = &buffer_from_pointer;
    interface.supports_op = &supports_operation;
    interface.supports_buft = &supports_buffer_type;
    return ggml_backend_device{interface, registry, nullptr};
  }();
  return &device;
}

void* function_of_registry(ggml_backend_reg_t, const char* name) {
  if (std::strcmp(name, "ggml_backend_set_n_threads") == 0) return reinterpret_cast<void*>(&set_threads);
  if (std::strcmp(name, "ggml_backend_set_abort_callback") == 0) return reinterpret_cast<void*>(&set_abort_callback);
  return nullptr;
}

}  // namespace

const char* precision_name(Precision precision) {
  return precision == Precision::F32 ? "f32" : "bf16";
}

ThreadPool* last_threads() {
  return t_threads;
}

bool has_accelerator() {
  return g_on && dense_kernels() != nullptr;
}

EvaluationScope::EvaluationScope(const Evaluation& evaluation) : before_(std::exchange(t_evaluation, evaluation)) {}

EvaluationScope::~EvaluationScope() {
  t_evaluation = before_;
}

void register_accelerator() {
  static const bool once = [] {
    if (dense_kernels() == nullptr) return false;
    static ggml_backend_reg registry = [] {
      ggml_backend_reg_i interface {};
      interface.get_name = &name_of_registry;
      interface.get_device_count = &count_devices;
      interface.get_device = &device_of_registry;
      interface.get_proc_address = &function_of_registry;
      return ggml_backend_reg{GGML_BACKEND_API_VERSION, interface, nullptr};
    }();
    ggml_backend_register(&registry);
    return true;
  }();
  static_cast<void>(once);
}

void use_accelerator(bool on) {
  g_on = on;
}

}  // namespace coala
