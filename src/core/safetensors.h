#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/atomic_file.h"
#include "core/dtype.h"

namespace coala {

/// One tensor of an open file; `bytes` points into the mapped file.
struct TensorView {
  Dtype dtype = Dtype::F32;
  std::vector<std::size_t> shape;
  std::span<const std::byte> bytes;

  std::size_t count() const noexcept;  ///< number of elements
};

/// A memory-mapped safetensors file: 8 bytes of header length, a JSON header, the tensors' bytes. The header is
/// checked strictly (every offset in range, no overlap, no hole, sizes that match the shapes), so a damaged or hostile
/// file ends in Error{CorruptFile} and never in a wild read.
class SafetensorsFile {
 public:
  /// @throws Error{BadInput} when it cannot be opened, Error{CorruptFile} when it is not a valid file
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const noexcept { return path_; }
  const std::map<std::string, TensorView>& tensors() const noexcept { return tensors_; }
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  /// @throws Error{CorruptFile} naming the file, the tensor and the tensors there are
  const TensorView& tensor(const std::string& name) const;

  /// Keeps the mapped bytes of the tensors where they are.
  std::shared_ptr<const void> owner() const { return mapping_; }

  /// The numbers of a floating-point tensor as float. @throws Error{CorruptFile} for an integer tensor
  std::vector<float> read_f32(const std::string& name) const;
  /// The same into memory for all of them.
  void read_f32(const std::string& name, std::span<float> to) const;
  std::vector<double> read_f64(const std::string& name) const;
  /// The numbers of an integer tensor. @throws Error{CorruptFile} for a floating-point tensor
  std::vector<std::int64_t> read_i64(const std::string& name) const;

 private:
  struct Mapping;
  std::filesystem::path path_;
  std::shared_ptr<const Mapping> mapping_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a safetensors file atomically, tensor by tensor: declare all, then append their bytes in order (in as many
/// pieces as is convenient), then commit. The same declarations and bytes give the same file.
class SafetensorsWriter {
 public:
  explicit SafetensorsWriter(std::filesystem::path path) : path_(std::move(path)) {}

  void set_metadata(std::map<std::string, std::string> metadata) { metadata_ = std::move(metadata); }
  void declare(const std::string& name, Dtype dtype, std::vector<std::size_t> shape);

  /// Appends bytes of the next tensors in the order of declaration.
  void append(const void* data, std::size_t bytes);
  template <class T>
  void append(std::span<const T> values) {
    append(values.data(), values.size_bytes());
  }
  /// @throws Error{Internal} when fewer or more bytes were appended than declared, Error{Io}
  void commit();

 private:
  struct Declared {
    std::string name;
    Dtype dtype;
    std::vector<std::size_t> shape;
  };
  void start();

  std::filesystem::path path_;
  std::map<std::string, std::string> metadata_;
  std::vector<Declared> declared_;
  std::unique_ptr<AtomicFile> file_;
  std::size_t expected_ = 0;
  std::size_t appended_ = 0;
};

}  // namespace coala
