#pragma once

#include <concepts>
#include <exception>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/metric.h"
#include "core/setting_json.h"

namespace coala {

template <class T>
concept IsSettings = !IsMetrics<T> && requires(T settings) {
  T::list(settings, [](const auto&, auto&) {});
};

template <IsMetrics Metrics>
nlohmann::ordered_json metrics_json(const Metrics& metrics);

namespace metric_value {

using Json = nlohmann::ordered_json;

template <class T>
Json json_of(const T& value) {
  if constexpr (IsMetrics<T>) {
    return metrics_json(value);
  } else if constexpr (IsSettings<T>) {
    return settings_json(value);
  } else if constexpr (std::is_enum_v<T>) {
    return name_of(value);
  } else {
    return value;
  }
}
template <class T>
Json json_of(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(json_of(value));
  return json;
}
inline Json json_of(const NamedCounts& counts) {
  Json json = Json::object();
  for (const auto& [name, count] : counts) json[name] = count;
  return json;
}

/// The key of an Estimate's interval.
inline std::string interval_key(std::string_view key) {
  return std::string(key) + "_ci95";
}

template <class T>
void write(Json& object, const std::string& key, const T& value) {
  object[key] = json_of(value);
}
inline void write(Json& object, const std::string& key, const Interval& value) {
  if (value.is_known()) object[key] = {value.low, value.high};
}
inline void write(Json& object, const std::string& key, const Estimate& value) {
  object[key] = value.value;
  write(object, interval_key(key), value.ci95);
}
template <class T>
void write(Json& object, const std::string& key, const std::optional<T>& value) {
  if (value) write(object, key, *value);
}

template <class Metrics>
void write_all(Json& object, const Metrics& metrics);
template <class Metrics>
void write_all(Json& object, const std::optional<Metrics>& metrics) {
  if (metrics) write_all(object, *metrics);
}
template <class Metrics>
void write_all(Json& object, const Metrics& metrics) {
  Metrics::list(metrics, [&object](const auto& entry, const auto& value) {
    if constexpr (std::is_same_v<decltype(entry), const MetricPart&>) {
      write_all(object, value);
    } else {
      write(object, std::string(entry.key), value);
    }
  });
}

/// Where in which file a value stands.
struct Place {
  std::string_view file;
  std::string path;  ///< "solver.path[3]"; "": the file itself

  Place at(std::string_view key) const;
  Place at(std::size_t index) const;
  /// @param expected  "a number"
  /// @throws Error{BadInput}: "metrics.json: solver.seconds is a text; it must be a number"
  [[noreturn]] void refuse(const Json& found, std::string_view expected) const;
};

bool read_bool(const Json& json, const Place& place);
/// @return  NaN for null, as JSON has it
double read_number(const Json& json, const Place& place);
std::string read_text(const Json& json, const Place& place);
Interval read_interval(const Json& json, const Place& place);
/// @throws Error{BadInput} for a number that is out of range
std::uint64_t read_count(const Json& json, const Place& place, std::uint64_t most);
std::int64_t read_integer(const Json& json, const Place& place, std::int64_t least, std::int64_t most);
const Json& read_object(const Json& json, const Place& place);
const Json& read_array(const Json& json, const Place& place);

template <class Metrics>
void read_all(const Json& object, const Place& place, Metrics& metrics);

/// "Solved, Stalled"
template <class Enum>
std::string names_text() {
  std::string text;
  for (const auto& choice : names_of(Enum{})) text.append(text.empty() ? "" : ", ").append(choice.name);
  return text;
}

template <class Settings>
void read_settings(const Json& json, const Place& place, Settings& settings) {
  read_object(json, place);
  for_each_setting(settings, [&](const Setting& setting, auto& value) {
    const std::string group(setting.group);
    if (!group.empty() && !json.contains(group)) return;
    const Place where = group.empty() ? place : place.at(group);
    const Json& object = group.empty() ? json : read_object(json[group], where);
    const auto found = object.find(std::string(setting.json_key()));
    if (found == object.end()) return;
    try {
      read_setting(*found, value);
    } catch (const std::exception&) {  // of another type, or none of the choices
      where.at(setting.json_key()).refuse(*found, "a value of this setting");
    }
  });
}

template <class T>
void read(const Json& json, const Place& place, T& value) {
  if constexpr (IsMetrics<T>) {
    read_all(read_object(json, place), place, value);
  } else if constexpr (IsSettings<T>) {
    read_settings(json, place, value);
  } else if constexpr (std::is_enum_v<T>) {
    const std::optional<T> named = value_named<T>(read_text(json, place));
    if (!named) place.refuse(json, "one of " + names_text<T>());
    value = *named;
  } else if constexpr (std::is_same_v<T, bool>) {
    value = read_bool(json, place);
  } else if constexpr (std::floating_point<T>) {
    value = read_number(json, place);
  } else if constexpr (std::unsigned_integral<T>) {
    value = static_cast<T>(read_count(json, place, std::numeric_limits<T>::max()));
  } else if constexpr (std::integral<T>) {
    value = static_cast<T>(read_integer(json, place, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  } else {
    value = read_text(json, place);
  }
}
template <class T>
void read(const Json& json, const Place& place, std::vector<T>& values) {
  values.clear();
  for (const Json& one : read_array(json, place)) {
    const Place where = place.at(values.size());
    read(one, where, values.emplace_back());
  }
}
inline void read(const Json& json, const Place& place, NamedCounts& counts) {
  counts.clear();
  for (const auto& [name, count] : read_object(json, place).items()) {
    counts.emplace_back(name, read_count(count, place.at(name), std::numeric_limits<std::uint64_t>::max()));
  }
}
template <class T>
void read_member(const Json& object, const Place& place, std::string_view key, T& value) {
  if (const auto found = object.find(std::string(key)); found != object.end()) read(*found, place.at(key), value);
}
inline void read_member(const Json& object, const Place& place, std::string_view key, Interval& value) {
  const auto found = object.find(std::string(key));
  value = found == object.end() ? kNoInterval : read_interval(*found, place.at(key));
}
inline void read_member(const Json& object, const Place& place, std::string_view key, Estimate& value) {
  read_member(object, place, key, value.value);
  read_member(object, place, interval_key(key), value.ci95);
}
template <class T>
void read_member(const Json& object, const Place& place, std::string_view key, std::optional<T>& value) {
  value.reset();
  if (object.contains(std::string(key))) read_member(object, place, key, value.emplace());
}

/// Whether an object has any of these metrics.
template <class Metrics>
bool has_any(const Json& object) {
  bool any = false;
  const Metrics metrics;
  Metrics::list(metrics, [&]<class Entry, class T>(const Entry& entry, const T&) {
    if constexpr (std::is_same_v<Entry, Metric>) any = any || object.contains(std::string(entry.key));
  });
  return any;
}

template <class Metrics>
void read_all(const Json& object, const Place& place, std::optional<Metrics>& metrics) {
  metrics.reset();
  if (has_any<Metrics>(object)) read_all(object, place, metrics.emplace());
}
template <class Metrics>
void read_all(const Json& object, const Place& place, Metrics& metrics) {
  Metrics::list(metrics, [&](const auto& entry, auto& value) {
    if constexpr (std::is_same_v<decltype(entry), const MetricPart&>) {
      read_all(object, place, value);
    } else {
      read_member(object, place, entry.key, value);
    }
  });
}

}  // namespace metric_value

/// All metrics by their keys, in the order of the list; what is absent has none.
template <IsMetrics Metrics>
nlohmann::ordered_json metrics_json(const Metrics& metrics) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  metric_value::write_all(json, metrics);
  return json;
}

/// The opposite. What the file does not have, as one that was written before there was such a metric, keeps its
/// standard value; other keys are passed over.
/// @param file  what messages call it
/// @throws Error{BadInput} naming the first key whose value is of another type, what it is and what it must be
template <IsMetrics Metrics>
Metrics read_metrics(const nlohmann::ordered_json& json, std::string_view file) {
  Metrics metrics;
  metric_value::read(json, {file, ""}, metrics);
  return metrics;
}

}  // namespace coala
