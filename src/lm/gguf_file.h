#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace coala {

/// One tensor as the header of a GGUF file declares it.
struct GgufTensor {
  std::string name;
  std::uint64_t elements = 0;
  std::vector<std::uint64_t> shape;  ///< without ones at its end; the entries of a row first, as ggml counts
  std::uint32_t type = 0;            ///< ggml_type
  std::uint64_t at = 0;              ///< byte of the file where its numbers begin
  std::uint64_t bytes = 0;           ///< that they take
};

/// The header of a GGUF file: everything before the weights, checked against the size of the file.
struct GgufFile {
  std::map<std::string, std::string> strings;         ///< string values
  std::map<std::string, std::int64_t> integers;       ///< integer and boolean values
  std::map<std::string, double> numbers;              ///< floating-point values
  std::map<std::string, std::uint64_t> array_counts;  ///< number of entries of each array
  std::map<std::string, std::string> array_hashes;    ///< content hash of each array
  std::map<std::string, std::uint32_t> types;         ///< gguf_type of each value
  std::vector<GgufTensor> tensors;

  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  std::string text(const std::string& key) const;  ///< "" when absent
};

/// Reads and checks the header. llama.cpp reads it again, but it ends the process on some of the damage that this
/// finds first (duplicate tokens, layer counts out of range), and its messages do not say what to do.
/// @throws Error{BadInput} when the file cannot be opened, is no GGUF file or holds no weights; Error{CorruptFile}
///   when it is truncated or inconsistent
GgufFile read_gguf_header(const std::filesystem::path& path);

/// The same for a file that holds a LoRA adapter; what it adapts is not looked at (lm/adapter.h).
/// @throws as above; Error{BadInput} when it is a model, or an adapter of another kind
GgufFile read_adapter_header(const std::filesystem::path& path);

/// The same for a model or an adapter, whichever the file says it is ("general.type").
GgufFile read_any_gguf_header(const std::filesystem::path& path);

}  // namespace coala
