#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "core/setting.h"

namespace coala {

/// Choices by their names; what is absent as "default".
template <class T>
nlohmann::ordered_json setting_json(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return name_of(value);
  } else {
    return value;
  }
}
template <class T>
nlohmann::ordered_json setting_json(const std::optional<T>& value) {
  return value ? setting_json(*value) : "default";
}

/// All settings by their keys, groups as objects: what fingerprints and reports say of them.
template <class Settings>
nlohmann::ordered_json settings_json(const Settings& settings) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for_each_setting(settings, [&](const Setting& setting, const auto& value) {
    nlohmann::ordered_json& object = setting.group.empty() ? json : json[std::string(setting.group)];
    object[std::string(setting.json_key())] = setting_json(value);
  });
  return json;
}

/// The opposite of setting_json(), for JSON of the right kind.
/// @throws Error{BadUsage} for a name that is none of the choices
template <class Json, class T>
void read_setting(const Json& json, T& value) {
  if constexpr (std::is_enum_v<T>) {
    const auto name = json.template get<std::string>();
    const std::optional<T> named = value_named<T>(name);
    if (!named) throw Error(ErrorCode::BadUsage, "'" + name + "' is none of the choices");
    value = *named;
  } else {
    value = json.template get<T>();
  }
}
template <class Json, class T>
void read_setting(const Json& json, std::optional<T>& value) {
  value.reset();
  if (json != "default") read_setting(json, value.emplace());
}

}  // namespace coala
