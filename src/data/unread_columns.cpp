#include "data/unread_columns.h"

#include <algorithm>
#include <unordered_map>

#include "core/utf8.h"
#include "data/json_values.h"

namespace coala {
namespace {

using nlohmann::json;

/// Whether a text says something: it has several words, or is in a script that does not part them.
bool is_prose(const std::string& text) {
  const std::string_view inner = trimmed(text);
  if (std::any_of(inner.begin(), inner.end(), is_space)) return true;
  const bool ascii =
      std::all_of(inner.begin(), inner.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return !ascii && count_characters(inner) >= 4;
}

/// Whether prose, messages or a column that decides are somewhere in a value.
bool holds_prose(const json& value) {
  if (value.is_string()) return is_prose(value.get_ref<const std::string&>());
  if (value.is_array()) return std::any_of(value.begin(), value.end(), holds_prose);
  if (!value.is_object()) return false;
  if (is_message(value)) return true;
  for (const auto& [name, inner] : value.items()) {
    if (is_empty(inner)) continue;
    if (meaning_of(name) == ColumnMeaning::Decides && !inner.is_number() && !inner.is_boolean()) return true;
    if (meaning_of(name) != ColumnMeaning::Neutral && holds_prose(inner)) return true;
  }
  return false;
}

/// Whether something under such a name is somewhere in a value.
template <class Wanted>
bool holds_field(const json& value, const Wanted& wanted) {
  if (value.is_array()) {
    return std::any_of(value.begin(), value.end(), [&](const json& item) { return holds_field(item, wanted); });
  }
  if (!value.is_object()) return false;
  for (const auto& [name, inner] : value.items()) {
    if (!is_empty(inner) && (wanted(meaning_of(name), inner) || holds_field(inner, wanted))) return true;
  }
  return false;
}

/// Whether a question or an answer is somewhere in a value, under a name that says so.
bool holds_part(const json& value) {
  if (is_message(value) || is_message_list(value)) return true;
  return holds_field(value, [](ColumnMeaning meaning, const json& inner) {
    return is_message(inner) || (meaning == ColumnMeaning::Decides && holds_prose(inner));
  });
}

bool holds_judgement(const json& value) {
  return holds_field(value, [](ColumnMeaning meaning, const json&) { return meaning == ColumnMeaning::Judges; });
}

/// Whether a column that nobody has read may be part of the preference.
bool matters(const std::string& column, const json& value, ColumnMeaning meaning, bool has_prompt, bool judged) {
  const bool number = value.is_number() || value.is_boolean();
  switch (meaning) {
    case ColumnMeaning::Decides:
      return !number || (value.is_boolean() && !judged);
    case ColumnMeaning::Judges:
      return true;
    case ColumnMeaning::Unknown:
      return number ? value.is_boolean() && !judged : holds_prose(value) || holds_part(value);
    case ColumnMeaning::Neutral:
      // A part of the preference inside of "metadata"; or "original_prompt", where there is no other.
      return holds_part(value) || (!has_prompt && names_a_prompt(column) && holds_prose(value));
  }
  return true;
}

/// Whether the record says the same elsewhere.
/// @param said        the texts of the record
/// @param all_counts  whether single words and numbers of an object count: they do where the column's name says that it
///                    belongs to the preference
bool repeats(const json& value, std::span<const std::string_view> said, bool all_counts) {
  constexpr std::size_t kNoAccident = 20;  ///< bytes of a text that does not stand inside another one by chance
  if (value.is_string()) {
    const std::string_view text = trimmed(value.get_ref<const std::string&>());
    return std::any_of(said.begin(), said.end(), [&](std::string_view other) {
      return trimmed(other) == text || (text.size() >= kNoAccident && other.find(text) != other.npos);
    });
  }
  if (is_message(value))
    return repeats(value.contains("content") ? value.at("content") : value.at("value"), said, all_counts);
  if (value.is_array()) {
    return std::all_of(value.begin(), value.end(), [&](const json& item) { return repeats(item, said, all_counts); });
  }
  if (!value.is_object()) return false;
  return std::all_of(value.begin(), value.end(), [&](const json& item) {
    const bool small = item.is_number() || item.is_boolean() || (item.is_string() && !holds_prose(item));
    return is_empty(item) || (small && !all_counts) || repeats(item, said, all_counts);
  });
}

}  // namespace

ColumnMeaning remembered_meaning(const std::string& column) {
  constexpr std::size_t kMostNames = 1024;
  thread_local std::unordered_map<std::string, ColumnMeaning> known;
  if (const auto found = known.find(column); found != known.end()) return found->second;
  if (known.size() >= kMostNames) known.clear();
  return known[column] = meaning_of(column);
}

bool may_be_lost(const std::string& column, const json& value, const ReadRecord& record) {
  if (is_empty(value)) return false;
  if (!record.judged && holds_judgement(value)) return true;
  const ColumnMeaning meaning = remembered_meaning(column);
  const bool belongs = meaning == ColumnMeaning::Decides || meaning == ColumnMeaning::Judges;
  return matters(column, value, meaning, record.has_prompt, record.judged) && !repeats(value, record.said, belongs);
}

}  // namespace coala
