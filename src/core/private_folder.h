#pragma once

#include <filesystem>
#include <string_view>

namespace coala {

/// A fresh folder for temporary files that nobody else may look into. It goes away with the object, and what is in it.
class PrivateFolder {
 public:
  /// @param purpose  a word of its name
  /// @throws Error{Io}
  explicit PrivateFolder(std::string_view purpose);
  ~PrivateFolder();
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace coala
