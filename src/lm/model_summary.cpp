#include "lm/model_summary.h"

#include <llama.h>

#include "lm/gguf_file.h"

namespace coala {

ModelSummary summarise_model(const std::filesystem::path& path) {
  const GgufFile file = read_any_gguf_header(path);
  ModelSummary summary;
  summary.adapter = file.text("general.type") == "adapter";
  summary.name = file.text("general.name");
  summary.architecture = file.text("general.architecture");
  summary.tensors = file.tensors.size();
  for (const GgufTensor& tensor : file.tensors) summary.parameters += tensor.elements;
  if (summary.adapter) return summary;
  if (const auto type = file.integers.find("general.file_type"); type != file.integers.end()) {
    summary.file_type = llama_ftype_name(static_cast<llama_ftype>(type->second));
  }
  summary.dimension = file.integer(summary.architecture + ".embedding_length", 0);
  summary.layers = file.integer(summary.architecture + ".block_count", 0);
  summary.context_tokens = file.integer(summary.architecture + ".context_length", 0);
  summary.vocabulary = file.array_counts.at("tokenizer.ggml.tokens");
  summary.chat_template = file.strings.contains("tokenizer.chat_template");
  return summary;
}

}  // namespace coala
