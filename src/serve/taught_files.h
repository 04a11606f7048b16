#pragma once

#include <httplib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>

#include "lm/backbone.h"
#include "serve/watch.h"
#include "teach/teacher.h"

namespace coala {

/// What clients may take along of the taught head.
enum class TaughtFile {
  Head,     ///< safetensors
  Adapter,  ///< LoRA, GGUF
  Model,    ///< GGUF
};

/// Where it is.
const char* taught_file_path(TaughtFile kind);
/// What it is called where it is saved.
const char* taught_file_name(TaughtFile kind);

/// A file that has lost its name: its space is free again when nobody reads it any more.
class OpenFile {
 public:
  /// Takes the name away. @throws Error{Io}
  explicit OpenFile(const std::filesystem::path& path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  std::uint64_t bytes() const { return bytes_; }
  /// Sends a piece of at most `length` bytes. False: it could not be read, or not be sent.
  bool send(std::size_t offset, std::size_t length, httplib::DataSink& sink) const;

 private:
  int descriptor_ = -1;
  std::uint64_t bytes_ = 0;
};

/// Makes files of what was taught, in a folder of their own for temporary files, one at a time. Names are ours: nothing
/// of a request is in them.
class TaughtFiles {
 public:
  /// @param backbone  must outlive it
  TaughtFiles(const Backbone& backbone, int threads) : backbone_(backbone), threads_(threads) {}

  /// It ends when the watch does.
  /// @throws RequestError when nothing has been taught or another file is being made; what export_head() throws
  std::shared_ptr<const OpenFile> make(TaughtFile kind, const Teacher& teacher, const Watch& watch);

 private:
  const Backbone& backbone_;
  int threads_;
  std::mutex making_;
};

}  // namespace coala
