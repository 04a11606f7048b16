#include "data/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"
#include "data/byte_order_mark.h"
#include "data/json_values.h"
#include "data/unread_columns.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr const char* kShapesHint = "docs/data-shapes.md shows every shape that is read";

const char* type_name(const json& value) {
  switch (value.type()) {
    case json::value_t::null:
      return "null";
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "a list";
    case json::value_t::string:
      return "a text";
    case json::value_t::boolean:
      return "true or false";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float:
      return "a number";
    case json::value_t::binary:
    case json::value_t::discarded:
      break;
  }
  return "something that is not JSON";
}

/// The role that a name stands for in the files people have, however it is capitalised; nullptr when it is none of the
/// three.
const char* role_of(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, const char*>, 17> kRoles{{
      {"user", "user"},
      {"human", "user"},
      {"prompter", "user"},
      {"customer", "user"},
      {"assistant", "assistant"},
      {"gpt", "assistant"},
      {"chatgpt", "assistant"},
      {"model", "assistant"},
      {"bot", "assistant"},
      {"ai", "assistant"},
      {"llm", "assistant"},
      {"bing", "assistant"},
      {"bard", "assistant"},
      {"chatbot", "assistant"},
      {"system", "system"},
      {"developer", "system"},
      {"instructions", "system"},
  }};
  const auto same = [&](std::string_view role) {
    return std::ranges::equal(role, name, [](char a, char b) { return a == lower_case(b); });
  };
  const auto* found = std::find_if(kRoles.begin(), kRoles.end(), [&](const auto& role) { return same(role.first); });
  return found == kRoles.end() ? nullptr : found->second;
}

/// The part of the parser's message that says something: without its number and its own idea of the position.
std::string_view parser_message(std::string_view what) {
  for (const std::string_view start : {"syntax error", "number overflow"}) {
    const std::size_t found = what.find(start);
    if (found != std::string_view::npos) return what.substr(found);
  }
  return what;
}

void add_texts(const json& value, std::vector<std::string_view>& texts) {
  if (value.is_string()) texts.emplace_back(value.get_ref<const std::string&>());
  if (!value.is_array() && !value.is_object()) return;
  for (const json& item : value) add_texts(item, texts);
}

/// What a syntax error most likely is.
std::string syntax_hint(std::string_view text, std::size_t offset) {
  if (text.starts_with(kByteOrderMark)) return "the line starts with a byte order mark (files put together): remove it";
  if (trimmed(text).starts_with("{'")) return "this is how Python prints a dictionary: write it with json.dumps";
  const std::string_view rest = text.substr(std::min(offset, text.size()));
  const std::string_view before = text.substr(0, std::min(offset + 1, text.size()));
  const auto near = [&](std::string_view word) {
    return rest.substr(0, 16).find(word) != rest.npos ||
           before.substr(before.size() - std::min<std::size_t>(before.size(), 10)).find(word) != before.npos;
  };
  if (near("NaN") || near("Inf")) return "NaN and Infinity are not JSON: write null, or leave the column out";
  if (near("\\ud") || near("\\uD")) return "half of a surrogate pair is no character: write the text as UTF-8";
  if (trimmed(rest) == ",") return "JSON lines have no comma between them: remove it, or make the file one JSON array";
  if (rest.empty()) return "the record is cut short: was the file written to its end?";
  return "correct the line; NaN, comments, single quotes and commas at the end are not JSON";
}

/// Takes what stands at a path with dots out of an object; discarded when nothing does.
json taken(json& object, std::string_view path) {
  const std::size_t dot = path.find('.');
  const std::string first(path.substr(0, dot));
  if (object.is_array()) {
    std::size_t at = 0;
    const auto [end, error] = std::from_chars(first.data(), first.data() + first.size(), at);
    if (error != std::errc() || end != first.data() + first.size() || at >= object.size()) {
      return json(json::value_t::discarded);
    }
    if (dot == std::string_view::npos) return std::exchange(object[at], nullptr);
    return taken(object[at], path.substr(dot + 1));
  }
  const auto found = object.is_object() ? object.find(first) : object.end();
  if (!object.is_object() || found == object.end()) return json(json::value_t::discarded);
  json value = dot == std::string_view::npos ? std::move(*found) : taken(*found, path.substr(dot + 1));
  if (dot == std::string_view::npos || is_empty(*found)) object.erase(found);
  return value;
}

}  // namespace

Row::Row(const Origin& origin, const Element& element, const ColumnOptions& columns)
    : columns_(&columns),
      file_(origin.file.string()),
      line_(element.line),
      number_(element.number),
      one_of_several_(origin.one_of_several),
      numbered_by_line_(origin.numbered_by_line) {
  try {
    object_ = json::parse(element.text);
  } catch (const json::parse_error& error) {
    const std::size_t offset = std::min(error.byte > 0 ? error.byte - 1 : 0, element.text.size());
    const std::string message = quoted_text(parser_message(error.what()), 200);
    throw Error(ErrorCode::BadInput,
                fmt::format("{}: {}: not valid JSON: {}", file_, element.position(offset), message),
                syntax_hint(element.text, offset));
  } catch (const json::exception& error) {
    fail(fmt::format("not valid JSON: {}", quoted_text(parser_message(error.what()), 200)), "correct the line");
  }
  if (!object_.is_object()) fail(fmt::format("expected a JSON object, found {}", type_name(object_)));
  if (!columns.renamed.empty()) rename();
  parse_texts();
  index();
}

Row::Row(const Row& table, json object, std::uint64_t number)
    : object_(std::move(object)),
      columns_(table.columns_),
      file_(table.file_),
      line_(table.line_),
      number_(number),
      one_of_several_(table.one_of_several_),
      numbered_by_line_(false) {
  if (!columns_->renamed.empty()) rename();
  parse_texts();
  index();
}

void Row::index() {
  fields_.reserve(object_.size());
  for (const auto& [column, value] : object_.get_ref<const json::object_t&>()) fields_.push_back({column, &value});
}

const Row::Field* Row::field(std::string_view column) const {
  constexpr std::size_t kFewFields = 40;
  if (fields_.size() > kFewFields) {  // in the order of the map
    const auto found = std::lower_bound(fields_.begin(), fields_.end(), column,
                                        [](const Field& one, std::string_view name) { return one.name < name; });
    return found != fields_.end() && found->name == column ? &*found : nullptr;
  }
  for (const Field& one : fields_) {
    if (one.name == column) return &one;
  }
  return nullptr;
}

void Row::mark_read(std::string_view column) const {
  if (const Field* found = field(column)) found->read = true;
}

std::vector<std::string_view> Row::read_columns() const {
  std::vector<std::string_view> names;
  for (const Field& one : fields_) {
    if (one.read) names.push_back(one.name);
  }
  return names;
}

void Row::rename() {
  json moved = json::object();
  for (const auto& [ours, path] : columns_->renamed) {
    if (const auto whole = object_.find(path); whole != object_.end()) {  // a name may have a dot in it
      moved[ours] = std::move(*whole);
      object_.erase(whole);
      continue;
    }
    if (json value = taken(object_, path); !value.is_discarded()) {
      moved[ours] = std::move(value);
      continue;
    }
    const bool may_lack = ours == "id" || ours == "system" || ours == "input" || ours == "history" ||
                          ours == "margin" || ours == "weight" || ours.starts_with("score_");
    if (may_lack) continue;
    fail_columns(fmt::format("there is nothing at {}, which --columns reads as \"{}\"", quoted_text(path, 40), ours),
                 fmt::format("{}, or a path into a column", quoted_text(path, 40)));
  }
  for (auto& [ours, value] : moved.items()) {
    if (const auto own = object_.find(ours); own != object_.end()) displaced_[ours] = std::move(*own);
    object_[ours] = std::move(value);
  }
}

/// Message lists that are written as texts. Python's way of writing them cannot be read for sure.
void Row::parse_texts() {
  for (auto& [column, value] : object_.items()) {
    if (!value.is_string()) continue;
    const std::string_view text = trimmed(value.get_ref<const std::string&>());
    if (!text.starts_with("[{") && !text.starts_with("{\"") && !text.starts_with("[ {")) continue;
    if (text.starts_with("[{'") && (text.find("'role'") != text.npos || text.find("'from'") != text.npos)) {
      fail(fmt::format("column \"{}\" is a text that holds a list of messages as Python prints it", column),
           "write the list with json.dumps, or as it is, without making it a text");
    }
    json inner = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (is_message_list(inner) || is_message(inner)) value = std::move(inner);
  }
}

std::vector<Row> Row::expand() const {
  std::vector<Row> rows;
  if (has_list("rows")) {
    for (const json& item : object_.at("rows")) {
      const auto row = item.is_object() ? item.find("row") : item.end();
      if (!item.is_object() || row == item.end() || !row->is_object()) return {};
      rows.push_back(Row(*this, *row, rows.size() + 1));
    }
    return rows;
  }
  // One list per name, all of one length. A prompt is never a list of texts, so such a column tells.
  const auto is_column = [](const json& value) {
    return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), [](const json& item) {
             return item.is_string() || is_message_list(item);
           });
  };
  for (const char* name : {"prompt", "question", "instruction"}) {
    if (!has_list(name) || fields_.size() < 2) continue;
    const auto prompt = object_.find(name);
    if (!is_column(*prompt)) continue;
    const auto alike = [&](const json& value) { return value.is_array() && value.size() == prompt->size(); };
    if (!std::all_of(object_.begin(), object_.end(), alike)) return {};
    for (std::size_t i = 0; i < prompt->size(); ++i) {
      json one = json::object();
      for (const auto& [column, value] : object_.items()) one[column] = value[i];
      rows.push_back(Row(*this, std::move(one), i + 1));
    }
    return rows;
  }
  return rows;
}

std::vector<std::string_view> Row::read_texts() const {
  std::vector<std::string_view> texts;
  for (const Field& one : fields_) {
    if (one.read) add_texts(*one.value, texts);
  }
  return texts;
}

std::vector<std::string> Row::check_unread(std::span<const std::string_view> said, bool has_prompt, bool judged) const {
  std::vector<std::string> ignored;
  const auto check = [&](const std::string& column, const json& value) {
    if (columns_->ignored.contains(column)) {
      ignored.push_back(column);
      return;
    }
    if (is_empty(value)) return;
    if (!may_be_lost(column, value, {said, has_prompt, judged})) {
      const ColumnMeaning meaning = remembered_meaning(column);
      if (meaning == ColumnMeaning::Neutral || meaning == ColumnMeaning::Unknown) ignored.push_back(column);
      return;
    }
    fail_unread(column, value, has_prompt);
  };
  for (const Field& one : fields_) {
    if (!one.read) check(std::string(one.name), *one.value);
  }
  for (const auto& [column, value] : displaced_.items()) check(column, value);
  return ignored;
}

std::string Row::ignored_question() const {
  if (columns_->ignored.empty()) return {};
  for (const Field& one : fields_) {
    const std::string column(one.name);
    if (one.read || !columns_->ignored.contains(column)) continue;
    if (remembered_meaning(column) != ColumnMeaning::Decides || !names_a_prompt(column) || is_empty(*one.value))
      continue;
    return one.value->is_string() ? one.value->get<std::string>()
                                  : one.value->dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return {};
}

void Row::fail_unread(const std::string& column, const json& value, bool has_prompt) const {
  const std::string name = printable(column);
  const bool judges = meaning_of(column) == ColumnMeaning::Judges;
  const char* as = judges ? "label" : names_a_prompt(column) && !has_prompt ? "prompt" : "NAME";
  const bool text = value.is_string();
  fail(fmt::format("column {} ({}) {}, and nothing reads it there", quoted_text(column, 40), type_name(value),
                   judges ? "looks like what says which answer is better" : "may be part of the preference"),
       text || judges ? fmt::format("--ignore-columns {} leaves it aside; --columns {}={} reads it", name, as, name)
                      : fmt::format("--ignore-columns {} leaves it aside; --columns NAME={}.FIELD reads what is in it",
                                    name, name));
}

void Row::fail(const std::string& problem, const std::string& hint) const {
  const std::string record = numbered_by_line_ ? "" : fmt::format(" (record {})", number_);
  throw Error(ErrorCode::BadInput, fmt::format("{}: line {}{}: {}", file_, line_, record, problem),
              hint.empty() ? kShapesHint : hint);
}

void Row::fail_columns(const std::string& problem, const std::string& expected) const {
  constexpr std::size_t kMostColumns = 20;
  std::string found;
  std::size_t count = 0;
  for (const auto& [column, value] : object_.items()) {
    if (++count > kMostColumns) continue;
    found += fmt::format("{}{}", found.empty() ? "" : ", ", quoted_text(column, 40));
  }
  if (count > kMostColumns) found += fmt::format(" and {} more", count - kMostColumns);
  fail(fmt::format("{}; columns found: {}; expected: {}", problem, found.empty() ? "none" : found, expected));
}

void Row::fail_type(const char* column, const json& found, const char* expected) const {
  fail(fmt::format("column \"{}\" is {}; expected {}", column, type_name(found), expected));
}

bool Row::has(const char* column) const {
  const Field* found = field(column);
  return found != nullptr && !found->value->is_null();
}

bool Row::has_key(const char* column) const {
  return field(column) != nullptr;
}

bool Row::has_text(const char* column) const {
  const Field* found = field(column);
  return found != nullptr && found->value->is_string();
}

bool Row::has_list(const char* column) const {
  const Field* found = field(column);
  return found != nullptr && found->value->is_array();
}

bool Row::has_object(const char* column) const {
  const Field* found = field(column);
  return found != nullptr && found->value->is_object();
}

bool Row::has_number(const char* column) const {
  const Field* found = field(column);
  return found != nullptr && found->value->is_number();
}

bool Row::has_messages(const char* column) const {
  const Field* found = field(column);
  if (found == nullptr) return false;
  const json& value = *found->value;
  if (value.is_object() && value.contains("messages")) return is_message_list(value.at("messages"));
  return is_message(value) || is_message_list(value);
}

bool Row::ends_with_answer(const char* column) const {
  const json* value = &object_.at(column);
  if (value->is_object() && value->contains("messages")) value = &value->at("messages");
  const json& last = value->is_array() ? value->back() : *value;
  const auto role = last.find(last.contains("from") ? "from" : "role");
  if (role == last.end() || !role->is_string()) return false;
  const char* known = role_of(role->get_ref<const std::string&>());
  return known != nullptr && std::string_view(known) == "assistant";
}

const json& Row::get(const char* column, const char* expected) const {
  if (!has(column)) {
    fail_columns(fmt::format("there is no column \"{}\"{}", column, has_key(column) ? " but for null" : ""),
                 fmt::format("\"{}\" with {}", column, expected));
  }
  const Field* found = field(column);
  found->read = true;
  return *found->value;
}

const std::string& Row::text(const char* column) const {
  const json& value = get(column, "a text");
  if (!value.is_string()) fail_type(column, value, "a text");
  return value.get_ref<const std::string&>();
}

std::optional<double> Row::number(const char* column) const {
  const Field* found = field(column);
  if (found == nullptr) return std::nullopt;
  found->read = true;
  const json& value = *found->value;
  if (value.is_null()) return std::nullopt;
  if (!value.is_number()) fail_type(column, value, "a number");
  return value.get<double>();  // finite: the parser refuses what double cannot hold
}

double Row::required_number(const char* column, double low, double high) const {
  get(column, "a number");
  const double value = *number(column);
  if (value < low || value > high) {
    fail(fmt::format("column \"{}\" is {}; expected a number from {} to {}", column, value, low, high));
  }
  return value;
}

void Row::check_message_fields(const json& item, const std::string& where) const {
  for (const auto& [field, value] : item.items()) {
    if (field == "role" || field == "content" || field == "from" || field == "value") continue;
    if (is_empty(value) || columns_->ignored.contains(field)) continue;
    if (value.is_number() || value.is_boolean()) continue;  // weights, masks, counts
    if (meaning_of(field) == ColumnMeaning::Neutral || field == "name") continue;
    fail(fmt::format("{} has {} beside its text, which is not read", where, quoted_text(field, 40)),
         fmt::format("a preference that depends on it would be lost; if it does not, use --ignore-columns {}",
                     printable(field)));
  }
}

Message Row::message(const json& item, const std::string& where) const {
  if (!item.is_object()) {
    fail(fmt::format("{} is {}; expected an object with \"role\" and \"content\"", where, type_name(item)));
  }
  const bool sharegpt = item.contains("from");
  const auto role = item.find(sharegpt ? "from" : "role");
  const auto content = item.find(sharegpt ? "value" : "content");
  if (role == item.end() || content == item.end() || !role->is_string()) {
    fail(fmt::format("{} has no {}; expected {{\"role\", \"content\"}} or {{\"from\", \"value\"}}", where,
                     content == item.end() ? (sharegpt ? "\"value\"" : "\"content\"")
                                           : (sharegpt ? "\"from\" that is a text" : "\"role\" that is a text")));
  }
  const auto& name = role->get_ref<const std::string&>();
  const char* known_role = role_of(name);
  if (known_role == nullptr) {
    fail(fmt::format("{} has the role {}; expected system, user or assistant (or human, gpt, ...)", where,
                     quoted_text(name, 40)),
         "calls of tools and what they answer are not read: leave such records out (--skip-bad does), or rename the "
         "role");
  }
  check_message_fields(item, where);
  if (content->is_string()) return {known_role, content->get<std::string>()};
  if (!content->is_array()) {
    fail(fmt::format("the content of {} is {}; expected a text", where, type_name(*content)));
  }
  Message joined{known_role, {}};  // a list of parts: OpenAI's "text", LLaMA-Factory's "value"
  for (const json& part : *content) {
    const char* key = part.is_object() && part.contains("text") ? "text" : "value";
    const auto text = part.is_object() ? part.find(key) : part.end();
    const auto type = part.is_object() ? part.find("type") : part.end();
    const bool other = part.is_object() && type != part.end() && type->is_string() && *type != "text";
    if (!part.is_object() || text == part.end() || !text->is_string() || other) {
      fail(fmt::format("the content of {} has a part that is not text{}", where,
                       other ? fmt::format(" but {}", quoted_text(type->get_ref<const std::string&>(), 40)) : ""),
           "images, sound and tools are not supported");
    }
    joined.content += text->get_ref<const std::string&>();
  }
  return joined;
}

std::vector<Message> Row::messages_of(const json& value, const std::string& where) const {
  if (value.is_object() && value.contains("messages") && !is_message(value)) {
    for (const auto& [field, other] : value.items()) {
      if (field == "messages" || is_empty(other) || columns_->ignored.contains(field)) continue;
      if (meaning_of(field) != ColumnMeaning::Decides) continue;
      fail(fmt::format("{} has {} beside its messages, which is not read", where, quoted_text(field, 40)),
           fmt::format("if it does not matter, use --ignore-columns {}", printable(field)));
    }
    return messages_of(value.at("messages"), where);
  }
  if (value.is_object()) return {message(value, where)};
  if (!value.is_array()) fail(fmt::format("{} is {}; expected a list of messages", where, type_name(value)));
  std::vector<Message> messages;
  messages.reserve(value.size());
  for (const json& item : value) {
    messages.push_back(message(item, fmt::format("message {} of {}", messages.size() + 1, where)));
  }
  return messages;
}

std::vector<Message> Row::messages(const char* column) const {
  return messages_of(get(column, "a list of messages"), fmt::format("column \"{}\"", column));
}

std::string Row::id() const {
  mark_read("id");
  const auto own = object_.find("id");
  if (own != object_.end()) {
    if (own->is_string() && !own->get_ref<const std::string&>().empty()) return own->get<std::string>();
    if (own->is_number_integer()) return own->dump();
    if (own->is_number_float()) {  // tables write 7.0 when one of their ids is missing
      const auto value = own->get<double>();
      return std::abs(value) < 0x1p53 && value == std::floor(value) ? fmt::format("{:.0f}", value) : own->dump();
    }
  }
  const std::uint64_t place = numbered_by_line_ ? line_ : number_;
  if (!one_of_several_) return std::to_string(place);
  return fmt::format("{}:{}", std::filesystem::path(file_).filename().string(), place);
}

}  // namespace coala
