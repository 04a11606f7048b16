#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace coala {

/// What the header of a GGUF file says of the model or adapter in it.
struct ModelSummary {
  bool adapter = false;  ///< a LoRA adapter: what follows "tensors" is then 0 or empty
  std::string name;      ///< "" when the file has none
  std::string architecture;
  std::uint64_t parameters = 0;
  std::size_t tensors = 0;
  std::string file_type;  ///< as llama.cpp names it: "F16", "Q4_K - Medium"; "" when the file does not say
  std::int64_t dimension = 0;
  std::int64_t layers = 0;
  std::int64_t context_tokens = 0;  ///< longest sequence that the model was trained on
  std::uint64_t vocabulary = 0;
  bool chat_template = false;
};

/// Reads the header alone; no weights are loaded.
/// @throws what read_any_gguf_header() throws
ModelSummary summarise_model(const std::filesystem::path& path);

}  // namespace coala
