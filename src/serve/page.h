#pragma once

#include <span>
#include <string_view>

namespace coala {

/// A file of the page for browsers, as it is sent.
struct PageFile {
  std::string_view path;     ///< that is asked for, "/" or "/page.css"
  std::string_view type;     ///< Content-Type
  std::string_view content;  ///< bytes
};

/// All files of src/serve/page, which cmake/CoalaEmbed.cmake has put into the program.
std::span<const PageFile> page_files();
/// The one that is asked for by a path; nullptr: there is none.
inline const PageFile* find_page_file(std::string_view path) {
  for (const PageFile& file : page_files()) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace coala
