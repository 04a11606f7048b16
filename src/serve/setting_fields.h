#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "core/setting_json.h"
#include "serve/operations.h"

namespace coala {

/// What a request may ask of a setting.
template <class T>
nlohmann::json request_schema(const Setting& setting) {
  if constexpr (std::is_same_v<T, bool>) {
    return {{"type", "boolean"}};
  } else if constexpr (std::is_enum_v<T>) {
    std::vector<std::string> names;
    for (const auto& choice : names_of(T{})) names.emplace_back(choice.name);
    return {{"enum", names}};
  } else {
    using Bound = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;
    nlohmann::json schema{{"type", std::is_integral_v<T> ? "integer" : "number"}};
    const Range& all = setting.range;
    const double least = std::max(setting.request->least, all.or_zero ? std::min(all.least, 0.0) : all.least);
    const double most = std::min(setting.request->most, all.most);
    if (std::isfinite(least)) schema["minimum"] = static_cast<Bound>(least);
    if (std::isfinite(most)) schema["maximum"] = static_cast<Bound>(most);
    return schema;
  }
}

/// A field for each setting of a struct that requests may ask for.
template <class Settings>
std::vector<Field> request_fields() {
  std::vector<Field> fields;
  const Settings standard;
  for_each_setting(standard, [&]<class T>(const Setting& setting, const T&) {
    if (setting.request) fields.push_back({std::string(setting.json_key()), request_schema<T>(setting), setting.about});
  });
  return fields;
}

/// What a body says of a setting that requests may ask for; nullptr.
inline const nlohmann::json* asked_of(const nlohmann::json& body, const Setting& setting) {
  return setting.request ? field(body, std::string(setting.json_key()).c_str()) : nullptr;
}

/// Takes the settings that a body has, which read_body() has checked.
template <class Settings>
void read_request(const nlohmann::json& body, Settings& settings) {
  for_each_setting(settings, [&](const Setting& setting, auto& value) {
    if (const nlohmann::json* asked = asked_of(body, setting)) read_setting(*asked, value);
  });
}

}  // namespace coala
