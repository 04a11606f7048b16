#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "core/error.h"
#include "core/setting.h"
#include "python/text.h"

namespace coala::python {

/// What a setting is called in Python: the option's name, as hints have it too ("cronos_beta", "selection_folds").
std::string keyword_of(const Setting& setting);

/// What a number may be, of those that its type can be.
template <class T>
Range range_of(const Setting& setting) {
  Range range = setting.range;
  if constexpr (std::is_integral_v<T>) {
    range.least = std::max(range.least, static_cast<double>(std::numeric_limits<T>::min()));
    range.most = std::min(range.most, static_cast<double>(std::numeric_limits<T>::max()));
  }
  return range;
}

/// A value as Python writes it.
std::string written(py::handle value);
/// @throws TypeError
[[noreturn]] void refuse_type(const std::string& keyword, const char* expected, py::handle found);
/// A number of Python, or of NumPy, in the range. @throws TypeError, Error{BadUsage}
double checked_number(const std::string& keyword, const Range& range, py::handle value);
py::int_ checked_whole(const std::string& keyword, const Range& range, py::handle value);

template <class T>
void read_value(const Setting& setting, py::handle value, T& to) {
  const std::string keyword = keyword_of(setting);
  if constexpr (std::is_same_v<T, bool>) {
    if (!py::isinstance<py::bool_>(value)) refuse_type(keyword, "True or False", value);
    to = value.cast<bool>();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!py::isinstance<py::str>(value)) refuse_type(keyword, "a text", value);
    to = value.cast<std::string>();
  } else if constexpr (std::is_enum_v<T>) {
    if (!py::isinstance<py::str>(value)) refuse_type(keyword, "one of its names", value);
    const auto name = value.cast<std::string>();
    const std::optional<T> named = value_named<T>(name);
    if (!named) refuse_setting(keyword, "'" + name + "'", names_in_words(names_of(T{})));
    to = *named;
  } else if constexpr (std::is_integral_v<T>) {
    const Range range = range_of<T>(setting);
    const py::int_ whole = checked_whole(keyword, range, value);
    try {
      to = whole.template cast<T>();
    } catch (const py::cast_error&) {  // 2^64, which is not above the range as a double
      refuse_setting(keyword, written(whole), range.in_words());
    }
  } else {
    to = checked_number(keyword, range_of<T>(setting), value);
  }
}
template <class T>
void read_value(const Setting& setting, py::handle value, std::optional<T>& to) {
  to.reset();
  if (!value.is_none()) read_value(setting, value, to.emplace());
}

/// The settings with the values that keywords give. Keywords of other settings may be among them.
/// @throws TypeError for a value of another type, Error{BadUsage} for one out of range, with the range
template <class Settings>
Settings settings_of(const py::dict& keywords) {
  Settings settings;
  for_each_setting(settings, [&](const Setting& setting, auto& value) {
    const std::string keyword = keyword_of(setting);
    if (keywords.contains(keyword.c_str())) read_value(setting, keywords[keyword.c_str()], value);
  });
  return settings;
}

}  // namespace coala::python
