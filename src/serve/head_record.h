#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace coala {

/// What `coala align` has left beside a head: how well it does on data that were held out, and the page that says more.
struct HeadRecord {
  nlohmann::ordered_json held_out;  ///< {"rows", "prompts", "accuracy", "baselines"}; null: nothing is known
  std::string report;               ///< HTML; "": there is none
};

/// Reads metrics.json and report.html in the head's folder. What was made for another head is left out, which is said.
/// @param digest  of the head's file
HeadRecord record_beside(const std::filesystem::path& head, const std::string& digest);

/// A report from elsewhere. @throws Error{BadInput} when it cannot be read or is no page
std::string read_report(const std::filesystem::path& path);

}  // namespace coala
