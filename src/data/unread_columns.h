#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "data/columns.h"

namespace coala {

/// What is known of the record whose column was not read.
struct ReadRecord {
  std::span<const std::string_view> said;  ///< its texts
  bool has_prompt = true;
  bool judged = true;  ///< it is known which of its answers are better
};

/// meaning_of(), which every record of a file asks for the same few names.
ColumnMeaning remembered_meaning(const std::string& column);

/// Whether a column that nobody has read may be part of the preference: by its name, by what is in it, and by whether
/// the record says the same elsewhere.
bool may_be_lost(const std::string& column, const nlohmann::json& value, const ReadRecord& record);

}  // namespace coala
