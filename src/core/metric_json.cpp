#include "core/metric_json.h"

#include <fmt/format.h>

#include "core/error.h"
#include "core/shortened.h"
#include "core/utf8.h"

namespace coala::metric_value {
namespace {

constexpr std::size_t kShown_bytes = 40;

/// "the text 'abc'", "a list", ...
std::string kind_of(const Json& json) {
  if (json.is_string())
    return fmt::format("the text '{}'", printable(shortened(json.get<std::string>(), kShown_bytes)));
  if (json.is_number()) return fmt::format("the number {}", json.dump());
  if (json.is_boolean()) return json.get<bool>() ? "true" : "false";
  if (json.is_array()) return "a list";
  return json.is_object() ? "an object" : "null";
}

}  // namespace

Place Place::at(std::string_view key) const {
  return {file, path.empty() ? std::string(key) : fmt::format("{}.{}", path, key)};
}

Place Place::at(std::size_t index) const {
  return {file, fmt::format("{}[{}]", path, index)};
}

void Place::refuse(const Json& found, std::string_view expected) const {
  throw Error(ErrorCode::BadInput,
              path.empty()
                  ? fmt::format("{} is {}; it must be {}", file, kind_of(found), expected)
                  : fmt::format("{}: {} is {}; it must be {}", file, printable(path), kind_of(found), expected),
              "the file was changed, or is none of coala's metrics (docs/metrics.md)");
}

bool read_bool(const Json& json, const Place& place) {
  if (!json.is_boolean()) place.refuse(json, "true or false");
  return json.get<bool>();
}

double read_number(const Json& json, const Place& place) {
  if (json.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!json.is_number()) place.refuse(json, "a number");
  return json.get<double>();
}

std::string read_text(const Json& json, const Place& place) {
  if (!json.is_string()) place.refuse(json, "a text");
  return json.get<std::string>();
}

Interval read_interval(const Json& json, const Place& place) {
  const bool is_pair = json.is_array() && json.size() == 2 && json[0].is_number() && json[1].is_number();
  if (!is_pair) place.refuse(json, "a list of two numbers");
  return {json[0].get<double>(), json[1].get<double>()};
}

std::uint64_t read_count(const Json& json, const Place& place, std::uint64_t most) {
  const bool is_count = json.is_number_unsigned() || (json.is_number_integer() && json.get<std::int64_t>() >= 0);
  const bool fits = is_count && json.get<std::uint64_t>() <= most;
  if (!fits) place.refuse(json, fmt::format("an integer from 0 to {}", most));
  return json.get<std::uint64_t>();
}

std::int64_t read_integer(const Json& json, const Place& place, std::int64_t least, std::int64_t most) {
  const bool too_large = json.is_number_unsigned() && json.get<std::uint64_t>() > static_cast<std::uint64_t>(most);
  const bool fits =
      json.is_number_integer() && !too_large && json.get<std::int64_t>() >= least && json.get<std::int64_t>() <= most;
  if (!fits) place.refuse(json, fmt::format("an integer from {} to {}", least, most));
  return json.get<std::int64_t>();
}

const Json& read_object(const Json& json, const Place& place) {
  if (!json.is_object()) place.refuse(json, "an object");
  return json;
}

const Json& read_array(const Json& json, const Place& place) {
  if (!json.is_array()) place.refuse(json, "a list");
  return json;
}

}  // namespace coala::metric_value
