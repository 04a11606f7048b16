#include "python/keywords.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/setting_json.h"
#include "decode/branch_settings.h"
#include "extract/feature_settings.h"
#include "head/fit.h"
#include "lm/sampler.h"
#include "python/bindings.h"
#include "python/own_settings.h"

namespace coala::python {
namespace {

/// Calls visit(settings) for the struct of this name.
template <class Visit>
void visit_list(const std::string& list, const Visit& visit) {
  if (list == "FitSettings") return visit(FitSettings{});
  if (list == "FeatureSettings") return visit(FeatureSettings{});
  if (list == "SamplerOptions") return visit(SamplerOptions{});
  if (list == "BranchSettings") return visit(BranchSettings{});
  if (list == "ReplyKeywords") return visit(ReplyKeywords{});
  if (list == "SampleKeywords") return visit(SampleKeywords{});
  if (list == "FeatureKeywords") return visit(FeatureKeywords{});
  if (list == "AlignKeywords") return visit(AlignKeywords{});
  if (list == "ExportKeywords") return visit(ExportKeywords{});
  throw py::key_error(list);
}

template <class T>
struct Held {
  using Type = T;
};
template <class T>
struct Held<std::optional<T>> {
  using Type = T;
};

template <class T>
py::object default_of(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return text_of(name_of(value));
  } else {
    return py::cast(value);
  }
}
template <class T>
py::object default_of(const std::optional<T>& value) {
  return value ? default_of(*value) : py::none();
}

template <class T>
const char* kind_of() {
  if (std::is_same_v<T, bool>) return "bool";
  if (std::is_integral_v<T>) return "int";
  return std::is_floating_point_v<T> ? "float" : "str";
}

/// What it may be, in words; "": anything of its kind.
template <class T>
std::string limits_of(const Setting& setting) {
  if constexpr (std::is_enum_v<T>) {
    return names_in_words(names_of(T{}));
  } else {
    return std::is_same_v<T, bool> ? "" : setting.range.in_words();
  }
}

template <class T>
py::dict description_of(const Setting& setting, const T& value) {
  using Type = typename Held<T>::Type;
  py::dict entry;
  entry["name"] = keyword_of(setting);
  entry["kind"] = kind_of<Type>();
  entry["default"] = default_of(value);
  entry["about"] = setting.about;
  entry["limits"] = limits_of<Type>(setting);
  entry["absent"] = text_of(setting.absent);
  return entry;
}

/// What there is to say of each setting of a struct, in the order of its list.
py::list describe(const std::string& list) {
  py::list entries;
  visit_list(list, [&](const auto& settings) {
    for_each_setting(
        settings, [&](const Setting& setting, const auto& value) { entries.append(description_of(setting, value)); });
  });
  return entries;
}

/// The struct that keywords make, as JSON with the keys of the program.
std::string as_json(const std::string& list, const py::dict& keywords) {
  std::string json;
  visit_list(list,
             [&]<class Settings>(const Settings&) { json = settings_json(settings_of<Settings>(keywords)).dump(); });
  return json;
}

}  // namespace

std::string keyword_of(const Setting& setting) {
  std::string name = setting.option_name();
  std::ranges::replace(name, '-', '_');
  return name;
}

std::string written(py::handle value) {
  return py::str(value).cast<std::string>();
}

void refuse_type(const std::string& keyword, const char* expected, py::handle found) {
  const auto type = py::type::of(found).attr("__name__").cast<std::string>();
  throw py::type_error(fmt::format("{} must be {}, not {}", keyword, expected, type));
}

double checked_number(const std::string& keyword, const Range& range, py::handle value) {
  if (py::isinstance<py::bool_>(value)) refuse_type(keyword, "a number", value);
  const double number = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() == nullptr) {
    check_range(range, number, keyword, written(value));
    return number;
  }
  const bool too_large = PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
  PyErr_Clear();
  if (too_large) refuse_setting(keyword, written(value), range.in_words());
  refuse_type(keyword, "a number", value);
}

py::int_ checked_whole(const std::string& keyword, const Range& range, py::handle value) {
  if (py::isinstance<py::bool_>(value) || PyIndex_Check(value.ptr()) == 0) {
    refuse_type(keyword, "a whole number", value);
  }
  const auto whole = py::reinterpret_steal<py::int_>(PyNumber_Index(value.ptr()));
  if (!whole) throw py::error_already_set();
  checked_number(keyword, range, whole);
  return whole;
}

void bind_keywords(py::module_& module) {
  module.def("describe", describe, py::arg("list"));
  module.def("settings_json", as_json, py::arg("list"), py::arg("keywords"));
}

}  // namespace coala::python
