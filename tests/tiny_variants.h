#pragma once

#include <ggml.h>
#include <gguf.h>

#include <functional>
#include <string>
#include <string_view>

#include "support.h"

/// Models like the tiny one, but for one thing.
namespace coala::test {

/// The tiny model with other values and without one of its tensors.
inline void write_variant(const std::filesystem::path& path, std::string_view left_out,
                          const std::function<void(const gguf_context& tiny, gguf_context& variant)>& change) {
  ggml_context* numbers = nullptr;
  gguf_context* original = gguf_init_from_file(test_file("tiny-llama.gguf").c_str(), {false, &numbers});
  ASSERT_NE(original, nullptr);
  gguf_context* variant = gguf_init_empty();
  gguf_set_kv(variant, original);
  change(*original, *variant);
  for (std::int64_t i = 0; i < gguf_get_n_tensors(original); ++i) {
    const char* name = gguf_get_tensor_name(original, i);
    if (name != left_out) gguf_add_tensor(variant, ggml_get_tensor(numbers, name));
  }
  ASSERT_TRUE(gguf_write_to_file(variant, path.c_str(), false));
  gguf_free(variant);
  gguf_free(original);
  ggml_free(numbers);
}

/// It reads and writes with its embedding.
inline void write_tied(const std::filesystem::path& path) {
  write_variant(path, "output.weight", [](const gguf_context&, gguf_context&) {});
}

/// The same weights as a Granite, whose logits are divided by a number.
inline void write_granite(const std::filesystem::path& path, float divisor) {
  write_variant(path, "", [divisor](const gguf_context& tiny, gguf_context& variant) {
    constexpr std::string_view kPrefix = "llama.";
    for (std::int64_t i = 0; i < gguf_get_n_kv(&tiny); ++i) {
      const std::string key = gguf_get_key(&tiny, i);
      if (!key.starts_with(kPrefix)) continue;
      const std::string renamed = "granite." + key.substr(kPrefix.size());
      if (gguf_get_kv_type(&tiny, i) == GGUF_TYPE_UINT32) {
        gguf_set_val_u32(&variant, renamed.c_str(), gguf_get_val_u32(&tiny, i));
      } else {
        gguf_set_val_f32(&variant, renamed.c_str(), gguf_get_val_f32(&tiny, i));
      }
    }
    gguf_set_val_str(&variant, "general.architecture", "granite");
    gguf_set_val_f32(&variant, "granite.logit_scale", divisor);
  });
}

}  // namespace coala::test
