#include "core/private_folder.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <system_error>

#include "core/error.h"

namespace coala {

PrivateFolder::PrivateFolder(std::string_view purpose) {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string pattern = (parent / fmt::format("coala-{}-XXXXXX", purpose)).string();
  if (error || ::mkdtemp(pattern.data()) == nullptr) {
    throw Error(ErrorCode::Io,
                fmt::format("cannot make a folder for temporary files in {}: {}", parent.string(),
                            error ? error.message() : std::strerror(errno)),
                "TMPDIR may name another place");
  }
  path_ = pattern;
}

PrivateFolder::~PrivateFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace coala
