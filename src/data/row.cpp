#include "data/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"

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

/// The role that a name stands for in the files people have; nullptr when it is none of the three.
const char* role_of(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, const char*>, 14> kRoles{{
      {"user", "user"},
      {"human", "user"},
      {"prompter", "user"},
      {"assistant", "assistant"},
      {"gpt", "assistant"},
      {"chatgpt", "assistant"},
      {"model", "assistant"},
      {"bot", "assistant"},
      {"bing", "assistant"},
      {"bard", "assistant"},
      {"system", "system"},
      {"developer", "system"},
      {"Human", "user"},
      {"Assistant", "assistant"},
  }};
  const auto* found = std::find_if(kRoles.begin(), kRoles.end(), [&](const auto& role) { return role.first == name; });
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

}  // namespace

Row::Row(const std::filesystem::path& file, const Element& element, bool numbered_by_line)
    : file_(file.string()), line_(element.line), number_(element.number), numbered_by_line_(numbered_by_line) {
  try {
    object_ = json::parse(element.text);
  } catch (const json::parse_error& error) {
    const std::size_t offset = std::min(error.byte > 0 ? error.byte - 1 : 0, element.text.size());
    const std::string message = quoted_text(parser_message(error.what()), 200);
    throw Error(ErrorCode::BadInput,
                fmt::format("{}: {}: not valid JSON: {}", file_, element.position(offset), message),
                "correct the line; note that NaN, Infinity, comments and single quotes are not JSON");
  } catch (const json::exception& error) {
    fail(fmt::format("not valid JSON: {}", quoted_text(parser_message(error.what()), 200)), "correct the line");
  }
  if (!object_.is_object()) fail(fmt::format("expected a JSON object, found {}", type_name(object_)));
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
  const auto found = object_.find(column);
  return found != object_.end() && !found->is_null();
}

bool Row::has_text(const char* column) const {
  const auto found = object_.find(column);
  return found != object_.end() && found->is_string();
}

bool Row::has_list(const char* column) const {
  const auto found = object_.find(column);
  return found != object_.end() && found->is_array();
}

bool Row::has_number(const char* column) const {
  const auto found = object_.find(column);
  return found != object_.end() && found->is_number();
}

const json& Row::get(const char* column, const char* expected) const {
  if (!has(column)) {
    fail_columns(fmt::format("there is no column \"{}\"", column), fmt::format("\"{}\" with {}", column, expected));
  }
  return object_.at(column);
}

const std::string& Row::text(const char* column) const {
  const json& value = get(column, "a text");
  if (!value.is_string()) fail_type(column, value, "a text");
  return value.get_ref<const std::string&>();
}

std::optional<double> Row::number(const char* column) const {
  if (!has(column)) return std::nullopt;
  const json& value = object_.at(column);
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

Message Row::message(const json& item, const char* column, std::size_t index) const {
  const auto where = [&] { return fmt::format("message {} of column \"{}\"", index + 1, column); };
  if (!item.is_object()) {
    fail(fmt::format("{} is {}; expected an object with \"role\" and \"content\"", where(), type_name(item)));
  }
  const bool sharegpt = item.contains("from");
  const auto role = item.find(sharegpt ? "from" : "role");
  const auto content = item.find(sharegpt ? "value" : "content");
  if (role == item.end() || content == item.end() || !role->is_string()) {
    fail(fmt::format("{} has no {}; expected {{\"role\", \"content\"}} or {{\"from\", \"value\"}}", where(),
                     content == item.end() ? (sharegpt ? "\"value\"" : "\"content\"")
                                           : (sharegpt ? "\"from\" that is a text" : "\"role\" that is a text")));
  }
  const char* known_role = role_of(role->get_ref<const std::string&>());
  if (known_role == nullptr) {
    fail(fmt::format("{} has the role {}; expected system, user or assistant (or human, gpt, ...)", where(),
                     quoted_text(role->get_ref<const std::string&>(), 40)),
         "remove tool calls and other turns that are not text");
  }
  if (content->is_string()) return {known_role, content->get<std::string>()};
  if (!content->is_array()) {
    fail(fmt::format("the content of {} is {}; expected a text", where(), type_name(*content)));
  }
  Message joined{known_role, {}};  // OpenAI's list of parts
  for (const json& part : *content) {
    const auto text = part.is_object() ? part.find("text") : part.end();
    if (!part.is_object() || text == part.end() || !text->is_string()) {
      fail(fmt::format("the content of {} has a part that is not text", where()), "images and sound are not supported");
    }
    joined.content += text->get_ref<const std::string&>();
  }
  return joined;
}

std::vector<Message> Row::messages(const char* column) const {
  const json& list = get(column, "a list of messages");
  if (!list.is_array()) fail_type(column, list, "a list of messages");
  std::vector<Message> messages;
  messages.reserve(list.size());
  for (const json& item : list) messages.push_back(message(item, column, messages.size()));
  return messages;
}

std::string Row::id() const {
  const auto own = object_.find("id");
  if (own != object_.end()) {
    if (own->is_string() && !own->get_ref<const std::string&>().empty()) return own->get<std::string>();
    if (own->is_number_integer()) return own->dump();
  }
  return std::to_string(numbered_by_line_ ? line_ : number_);
}

}  // namespace coala
