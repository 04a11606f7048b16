#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace coala::fuzz {

/// The bytes of an input as a file in memory, for readers that take a path. One at a time: it is always the same file,
/// because making one for each input takes longer than most inputs.
class InputFile {
 public:
  InputFile(const void* bytes, std::size_t size) {
    const auto length = static_cast<off_t>(size);
    if (::ftruncate(descriptor(), length) != 0 || ::pwrite(descriptor(), bytes, size, 0) != length) std::abort();
  }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(descriptor()); }

 private:
  static int descriptor() {
    static const int file = ::memfd_create("input", MFD_CLOEXEC);
    return file;
  }
};

/// Ends the process, so that libFuzzer keeps the input, when something that must hold does not.
inline void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace coala::fuzz
