#include "lm/context.h"

#include <fmt/format.h>

#include <exception>

#include "core/error.h"
#include "core/interrupt.h"
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
  params.abort_callback = &on_abort;
  return params;
}

llama_context* open_context(const Backbone& backbone, const llama_context_params& params, std::size_t tokens,
                            const std::string& hint) {
  clear_llama_log();
  llama_context* context = nullptr;
  try {
    context = llama_init_from_model(backbone.handle(), params);
  } catch (const std::exception& error) {
    throw Error(ErrorCode::OutOfMemory, fmt::format("cannot set up {}: {}", backbone.identity().name, error.what()));
  }
  if (context == nullptr) {
    throw Error(ErrorCode::OutOfMemory,
                fmt::format("cannot set up {} for {} tokens: {}", backbone.identity().name, tokens, llama_error()),
                hint);
  }
  if (llama_get_memory(context) == nullptr || llama_pooling_type(context) != LLAMA_POOLING_TYPE_NONE) {
    llama_free(context);
    throw Error(ErrorCode::BadInput,
                fmt::format("{} ({}) is an encoder, not a causal language model", backbone.identity().name,
                            backbone.identity().architecture),
                "use a decoder-only model, such as a Llama, Qwen, Gemma or Mistral");
  }
  try {
    backbone.apply_adapter(context);
  } catch (...) {
    llama_free(context);
    throw;
  }
  return context;
}

}  // namespace coala
