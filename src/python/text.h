#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

namespace coala::python {

namespace py = pybind11;

/// As Python has texts; what is not UTF-8 becomes replacement characters.
inline py::str text_of(std::string_view text) {
  return py::reinterpret_steal<py::str>(
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

/// "'a', 'b' or 'c'".
template <class Names>
std::string names_in_words(const Names& names) {
  std::string words;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) words += i + 1 < names.size() ? ", " : " or ";
    words.append("'").append(names[i].name).append("'");
  }
  return words;
}

}  // namespace coala::python
