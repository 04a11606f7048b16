#pragma once

#include <ggml-backend.h>
#include <ggml-cpu.h>

#include <cstddef>

namespace coala {

/// ggml's own code for the CPU. It is part of the program, or, in a portable build, a library that is chosen for the
/// CPU at hand when the program starts; so its functions are asked for by name.
struct CpuBackend {
  ggml_backend_dev_t device = nullptr;
  decltype(&ggml_backend_cpu_set_n_threads) set_threads = nullptr;
  decltype(&ggml_backend_cpu_set_threadpool) set_threadpool = nullptr;
  decltype(&ggml_backend_cpu_set_abort_callback) set_abort_callback = nullptr;
  decltype(&ggml_threadpool_new) threadpool_new = nullptr;
  decltype(&ggml_threadpool_free) threadpool_free = nullptr;
  decltype(&ggml_graph_plan) graph_plan = nullptr;
  decltype(&ggml_get_type_traits_cpu) type_traits = nullptr;
  /// Added to ggml by cmake/llama/changes.patch: the part'th of `parts` parts of a node's work, on the calling thread.
  /// @returns  how many nodes are computed: the one that follows too where ggml computes both together
  int (*compute_part)(const ggml_cgraph* graph, int node, int part, int parts, void* work, std::size_t work_size,
                      ggml_threadpool* threads) = nullptr;
};

/// Starts llama.cpp where that is still to be done.
const CpuBackend& cpu_backend();

}  // namespace coala
