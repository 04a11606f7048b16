#include "lm/accelerator.h"

#include <ggml-backend-impl.h>
#include <ggml-impl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "linalg/dense_kernels.h"
#include "lm/cpu_backend.h"
#include "lm/graph_kernels.h"

namespace coala {
namespace {

thread_local bool t_on = true;  // a thread that compares leaves others' evaluations alone
thread_local Evaluation t_evaluation;
thread_local ThreadPool* t_threads = nullptr;

/// What a llama.cpp context has of this backend.
struct Instance {
  ggml_backend_t cpu = nullptr;         ///< ggml's own, for operations whose threads wait for each other
  ggml_threadpool_t threads = nullptr;  ///< its threads
  ggml_threadpool_t caller = nullptr;   ///< of the calling thread alone
  std::unique_ptr<ThreadPool> pool = std::make_unique<ThreadPool>(1);
  std::vector<std::byte> work;  ///< what ggml's operations work in
  GraphKernels kernels;
  ggml_abort_callback abort = nullptr;
  void* abort_data = nullptr;

  Instance() : kernels(*dense_kernels()) {}
  ~Instance() {
    ggml_backend_free(cpu);
    for (ggml_threadpool_t each : {threads, caller}) {
      if (each != nullptr) cpu_backend().threadpool_free(each);
    }
  }
};

Instance& instance(ggml_backend_t backend) {
  return *static_cast<Instance*>(backend->context);
}

/// Numbers that a node writes: rows of the cache are only themselves and not all of the cache.
std::int64_t written_elements(const ggml_tensor& node) {
  if (is_no_operation(node)) return 0;
  return ggml_nelements(node.op == GGML_OP_SET_ROWS ? node.src[0] : &node);
}

/// Is this less work than the threads of a pool need to meet? Norms, rotations and sums of a few rows are.
bool is_light(const ggml_tensor& node) {
  constexpr std::int64_t kElements = 1 << 15;
  constexpr std::int64_t kProducts = 1 << 18;
  if (node.op == GGML_OP_MUL_MAT) return ggml_nelements(&node) * node.src[0]->ne[0] < kProducts;
  if (node.op == GGML_OP_MUL_MAT_ID) return false;
  return written_elements(node) < kElements;
}

/// Operations whose parts ggml computes without waiting for each other, so that they may run one after the other.
bool has_free_parts(const ggml_tensor& node) {
  constexpr std::array kFree{GGML_OP_ADD,     GGML_OP_SUB,      GGML_OP_MUL,      GGML_OP_DIV,      GGML_OP_SCALE,
                             GGML_OP_SQR,     GGML_OP_NORM,     GGML_OP_RMS_NORM, GGML_OP_UNARY,    GGML_OP_GLU,
                             GGML_OP_L2_NORM, GGML_OP_ROPE,     GGML_OP_SOFT_MAX, GGML_OP_CPY,      GGML_OP_CONT,
                             GGML_OP_DUP,     GGML_OP_GET_ROWS, GGML_OP_SET_ROWS, GGML_OP_SSM_CONV, GGML_OP_SSM_SCAN,
                             GGML_OP_REPEAT,  GGML_OP_CLAMP};
  return std::ranges::find(kFree, node.op) != kFree.end();
}

int most_parts(const Instance& self) {
  constexpr int kPerThread = 4;
  return kPerThread * self.pool->size();
}

/// Computes a node that none of our kernels takes, and maybe the next: on the calling thread, in parts on our threads,
/// or on ggml's.
/// @param[out] done  how many nodes are computed
ggml_status compute_node(Instance& self, ggml_cgraph* graph, int node, int& done) {
  const bool alone = self.pool->size() == 1 || is_light(*graph->nodes[node]);
  if (!alone && !has_free_parts(*graph->nodes[node])) {
    ggml_cgraph view = ggml_graph_view(graph, node, node + 1);
    done = 1;
    return ggml_backend_graph_compute(self.cpu, &view);
  }
  const int parts = alone ? 1 : most_parts(self);
  std::atomic<int> computed{1};
  self.pool->for_chunks(static_cast<std::size_t>(parts), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t part = begin; part < end; ++part) {
      computed.store(cpu_backend().compute_part(graph, node, static_cast<int>(part), parts, self.work.data(),
                                                self.work.size(), self.caller),
                     std::memory_order_relaxed);
    }
  });
  done = computed;
  return GGML_STATUS_SUCCESS;
}

ggml_status compute(ggml_backend_t backend, ggml_cgraph* graph) {
  Instance& self = instance(backend);
  t_threads = t_on ? self.pool.get() : nullptr;
  if (!t_on) return ggml_backend_graph_compute(self.cpu, graph);
  self.kernels.begin_graph(t_evaluation.precision, t_evaluation.exact_rows);
  const std::size_t work_size = cpu_backend().graph_plan(graph, most_parts(self), self.caller).work_size;
  if (self.work.size() < work_size) self.work.resize(work_size);
  for (int i = 0; i < graph->n_nodes;) {
    const ggml_tensor& node = *graph->nodes[i];
    if (is_no_operation(node) || (node.flags & GGML_TENSOR_FLAG_COMPUTE) == 0) {
      ++i;
      continue;
    }
    const GraphTail tail{graph, i};
    int done = self.kernels.match(tail);
    if (done > 0) {
      self.kernels.run(tail, *self.pool);
    } else if (const ggml_status status = compute_node(self, graph, i, done); status != GGML_STATUS_SUCCESS) {
      return status;
    }
    i += done;
    if (self.abort != nullptr && self.abort(self.abort_data)) return GGML_STATUS_ABORTED;
  }
  return GGML_STATUS_SUCCESS;
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
  return cpu_backend().threadpool_new(&params);
}

void set_threads(ggml_backend_t backend, int count) {
  Instance& self = instance(backend);
  if (self.pool->size() == count) return;
  self.pool = std::make_unique<ThreadPool>(count);
  cpu_backend().set_threads(self.cpu, count);
  ggml_threadpool_t old = self.threads;
  self.threads = count > 1 ? new_threads(count) : nullptr;
  cpu_backend().set_threadpool(self.cpu, count > 1 ? self.threads : self.caller);
  if (old != nullptr) cpu_backend().threadpool_free(old);
}

void set_abort_callback(ggml_backend_t backend, ggml_abort_callback callback, void* data) {
  Instance& self = instance(backend);
  self.abort = callback;
  self.abort_data = data;
  cpu_backend().set_abort_callback(self.cpu, callback, data);
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
  self->cpu = ggml_backend_dev_init(cpu_backend().device, nullptr);
  if (self->cpu == nullptr) return nullptr;
  cpu_backend().set_threads(self->cpu, 1);
  cpu_backend().set_threadpool(self->cpu, self->caller);
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
  ggml_backend_dev_get_props(cpu_backend().device, properties);
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
  return ggml_backend_dev_supports_op(cpu_backend().device, operation);
}

bool supports_buffer_type(ggml_backend_dev_t, ggml_backend_buffer_type_t type) {
  return ggml_backend_dev_supports_buft(cpu_backend().device, type);
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

ThreadPool* last_threads() {
  return t_threads;
}

void forget_last_threads() {
  t_threads = nullptr;
}

bool has_accelerator() {
  return t_on && dense_kernels() != nullptr;
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
  t_on = on;
}

}  // namespace coala
