#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "lm/gguf_file.h"

struct llama_adapter_lora;
struct llama_model;

namespace coala {

/// A LoRA adapter in memory: W becomes W + scale (alpha / rank) B A for each matrix W that it names. It is evaluated
/// beside the weights, which stay as they are on disk, quantised or not.
class Adapter {
 public:
  /// @param path        GGUF, as llama.cpp's convert_lora_to_gguf.py writes it
  /// @param scale       multiplies the adapter's own alpha / rank; 0: as if there were none
  /// @param model       that it is for; must outlive this object
  /// @param model_file  the header of the model's file
  /// @param writes      whether the model has an output matrix, of its own or its embedding's
  /// @throws Error{BadInput} when the file is no LoRA adapter, is for another architecture or for other shapes, or
  ///   has parts that llama.cpp would leave out silently; Error{CorruptFile} when it is damaged; Error{BadUsage} when
  ///   the scale is not finite
  Adapter(const std::filesystem::path& path, double scale, llama_model* model, const GgufFile& model_file, bool writes);

  const GgufFile& file() const { return file_; }
  float scale() const { return scale_; }
  const std::string& hash() const { return hash_; }  ///< of the whole file

  /// For src/lm only.
  llama_adapter_lora* handle() const { return handle_.get(); }

 private:
  struct Free {
    void operator()(llama_adapter_lora* adapter) const;
  };

  GgufFile file_;
  float scale_ = 1;
  std::string hash_;
  std::unique_ptr<llama_adapter_lora, Free> handle_;
};

}  // namespace coala
