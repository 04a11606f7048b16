#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coala {

/// How the columns of a file are called, and which of them may be left aside.
struct ColumnOptions {
  /// Name that coala reads, and where the file has it: a column, or a path into one with dots ("chosen.value",
  /// "answers.0.text").
  std::vector<std::pair<std::string, std::string>> renamed;
  std::set<std::string> ignored;  ///< columns, of records or of messages, that are known not to matter
  std::string label_true;         ///< the label that means "good", as text; empty: true, 1 and their usual names

  bool operator==(const ColumnOptions&) const = default;
};

/// Reads "prompt=question,chosen=answers.0.text".
/// @throws Error{BadUsage} for a name that coala does not read, one that is given twice, or a pair without "="
std::vector<std::pair<std::string, std::string>> parse_renamed_columns(std::string_view text);
/// Reads "a,b,c". @throws Error{BadUsage} for an empty name
std::set<std::string> parse_ignored_columns(std::string_view text);

/// What a column's name says about a preference.
enum class ColumnMeaning {
  Decides,  ///< it is part of it: a prompt, an answer, a picture, a tool call
  Judges,   ///< it says which answer is better, or how good one is
  Neutral,  ///< it never is: ids, sources, dates, names of models, counts, settings
  Unknown,
};
ColumnMeaning meaning_of(std::string_view column);
/// Whether a name has to do with what is asked, whatever else it says: "original_prompt".
bool names_a_prompt(std::string_view column);

}  // namespace coala
