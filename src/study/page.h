#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "core/page_file.h"

namespace coala {

/// All files of src/study/page.
std::span<const PageFile> study_page_files();

/// The page of a study as one HTML file that fetches nothing: its own scripts and style alone may run in it, named by
/// their hashes, whatever a reply has in it.
/// @param study  what src/study/page/session.js reads, texts in UTF-8
std::string study_page(const nlohmann::ordered_json& study);

}  // namespace coala
