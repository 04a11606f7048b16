#include "data/reading_report.h"

#include <fmt/format.h>

#include <utility>

#include "core/utf8.h"

namespace coala {

std::string names_of(const std::map<std::string, std::uint64_t, std::less<>>& columns) {
  std::string names;
  for (const auto& [column, count] : columns) names += (names.empty() ? "" : ", ") + printable(column);
  return names;
}

std::string reasons_of(const ReaderCounts& counts) {
  std::string text;
  for (const auto& [count, reason] : {std::pair{counts.ties, "ties"},
                                      {counts.contradictions, "contradictions"},
                                      {counts.empty, "with an empty response"},
                                      {counts.null, "with a prompt or response that is null or missing"},
                                      {counts.identical, "with identical responses"},
                                      {counts.no_shared_prompt, "without a shared prompt"},
                                      {counts.weightless, "with a weight of 0"},
                                      {counts.short_conversations, "conversations too short for a pair"},
                                      {counts.alone, "with a rated response but no other one to the same prompt"},
                                      {counts.bad, "that cannot be read"}}) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, reason);
  }
  return text;
}

std::vector<std::string> reading_lines(const ReaderCounts& counts, const char* what) {
  std::string shapes;
  std::uint64_t given = 0;
  for (const auto& [shape, count] : counts.by_shape) {
    shapes += fmt::format("{}{}", shapes.empty() ? "" : ", ", shape_name(shape));
    given += count;
  }
  const std::string files = counts.files.size() > 1 ? fmt::format(" of {} files", counts.files.size()) : "";
  std::vector<std::string> lines{
      fmt::format("{} {} from {} records{} ({})", given, what, counts.records, files, shapes)};
  if (const std::string reasons = reasons_of(counts); !reasons.empty()) lines.push_back("left out: " + reasons);
  lines.push_back("columns read: " + names_of(counts.columns_read));
  if (!counts.columns_ignored.empty()) lines.push_back("columns ignored: " + names_of(counts.columns_ignored));
  return lines;
}

}  // namespace coala
