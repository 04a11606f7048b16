#pragma once

#include <span>
#include <string_view>

#include "core/page_file.h"

namespace coala {

/// All files of src/serve/page, as they are sent.
std::span<const PageFile> serve_page_files();
/// The one that is asked for by a path; nullptr: there is none.
inline const PageFile* find_page_file(std::string_view path) {
  for (const PageFile& file : serve_page_files()) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace coala
