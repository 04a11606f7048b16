#include "lm/context.h"

#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <new>

#include "core/error.h"
#include "core/interrupt.h"
#include "lm/accelerator.h"
#include "lm/log_sink.h"

namespace coala {
namespace {

bool on_abort(void*) {
  return interrupted();
}

}  // namespace

llama_context_params context_params(int threads) {
  llama_context_params params = llama_context_default_params();
  params.kv_unified = true;
  params.embeddings = true;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.type_k = GGML_TYPE_F32;
  params.type_v = GGML_TYPE_F32;
  params.n_threads = threads;
  params.n_threads_batch = threads;
  params.no_perf = true;
  params.op_offload = false;  // layers of the CPU are its own whatever the number of rows, which numbers depend on
  params.abort_callback = &on_abort;
  return params;
}

llama_context* open_context(const Backbone& backbone, const llama_context_params& params, std::size_t tokens,
                            const std::string& hint) {
  clear_llama_log();
  llama_context* context = nullptr;
  llama_context_params own = params;
  // Encoders and models for embeddings name a pooling in their file; we pool ourselves.
  own.pooling_type = LLAMA_POOLING_TYPE_NONE;
  own.yarn_orig_ctx = static_cast<std::uint32_t>(backbone.original_context());
  try {
    context = llama_init_from_model(backbone.handle(), own);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::OutOfMemory, fmt::format("cannot set up {}: {}", backbone.identity().name, error.what()));
  }
  if (context == nullptr) {
    const Placement& placement = backbone.placement();
    throw Error(ErrorCode::OutOfMemory,
                fmt::format("cannot set up {} for {} tokens: {}", backbone.identity().name, tokens, llama_error()),
                placement.device == nullptr
                    ? hint
                    : fmt::format("use fewer than {} --gpu-layers, or {}", placement.layers, hint));
  }
  const bool encoder = llama_get_memory(context) == nullptr;
  if (encoder != backbone.identity().encoder || llama_pooling_type(context) != LLAMA_POOLING_TYPE_NONE) {
    llama_free(context);
    throw Error(ErrorCode::BadInput,
                fmt::format("{} ({}) is neither a causal language model nor an encoder of the BERT family",
                            backbone.identity().name, backbone.identity().architecture),
                "use a decoder-only model, such as a Llama, Qwen, Gemma or Mistral, or a BERT");
  }
  if (const Adapter* adapter = backbone.adapter()) {
    llama_adapter_lora* handle = adapter->handle();
    float scale = adapter->scale();
    if (llama_set_adapters_lora(context, &handle, 1, &scale) != 0) {
      llama_free(context);
      throw Error(ErrorCode::Internal,
                  fmt::format("llama.cpp cannot apply an adapter to {}", backbone.identity().name));
    }
  }
  return context;
}

void decode_batch(llama_context* context, const llama_batch& batch, const std::string& hint) {
  throw_if_interrupted();  // a device does not look before it is done
  clear_llama_log();
  forget_last_threads();
  int status = 0;
  try {
    status = llama_decode(context, batch);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorCode::Internal, fmt::format("llama.cpp failed: {}", error.what()));
  }
  constexpr int kFull = 1;
  if (status == kFull && !hint.empty()) {
    throw Error(ErrorCode::BadInput, fmt::format("the cache of {} tokens is full", llama_n_ctx(context)), hint);
  }
  if (status != 0) {
    throw_if_interrupted();
    throw Error(ErrorCode::Internal, fmt::format("llama.cpp could not evaluate {} tokens (status {}): {}",
                                                 batch.n_tokens, status, llama_error()));
  }
}

bool is_last_state(const char* node_name) {
  return std::strcmp(node_name, "result_norm") == 0 || std::strcmp(node_name, "result_embd_pooled") == 0;
}

bool has_parts(const Backbone& backbone) {
  return !llama_model_is_recurrent(backbone.handle()) && !llama_model_is_hybrid(backbone.handle());
}

}  // namespace coala
