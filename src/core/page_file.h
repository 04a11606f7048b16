#pragma once

#include <string_view>

namespace coala {

/// A file of a page for browsers that cmake/CoalaEmbed.cmake has put into the program.
struct PageFile {
  std::string_view path;     ///< that is asked for, "/" or "/page.css"
  std::string_view type;     ///< Content-Type
  std::string_view content;  ///< bytes
  std::string_view sha256;   ///< of the content, hexadecimal, for a page that names what may run in it
};

}  // namespace coala
