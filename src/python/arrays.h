#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace coala::python {

namespace py = pybind11;

/// An array of NumPy, or what it makes one of: numbers of one type, row after row. Copied only where they are not.
/// By NumPy's Python functions and the buffer protocol, so that any version of it will do.
class Array {
 public:
  /// @param type  NumPy's name of it; a conversion keeps the kind of number
  /// @throws what NumPy raises; Error{BadUsage} for another number of dimensions than one of these
  Array(const py::object& values, const char* type, const std::string& name, std::initializer_list<int> dimensions);

  int dimensions() const { return static_cast<int>(info_.ndim); }
  std::size_t size(int dimension) const { return static_cast<std::size_t>(info_.shape[dimension]); }
  template <class T>
  std::span<T> span() const {
    return {static_cast<T*>(info_.ptr), static_cast<std::size_t>(info_.size)};
  }

 private:
  py::buffer array_;
  py::buffer_info info_;
};

/// NumPy's name of a type.
template <class T>
constexpr const char* type_name() {
  if (std::is_same_v<T, float>) return "float32";
  if (std::is_same_v<T, double>) return "float64";
  if (std::is_same_v<T, std::int64_t>) return "int64";
  return std::is_same_v<T, std::int32_t> ? "int32" : "int8";
}

/// A column, or nothing for None.
template <class T>
class ArrayColumn {
 public:
  ArrayColumn(const py::object& values, const std::string& name) {
    if (!values.is_none()) array_.emplace(values, type_name<T>(), name, std::initializer_list<int>{1});
  }
  std::span<const T> values() const { return array_ ? array_->template span<T>() : std::span<T>(); }

 private:
  std::optional<Array> array_;
};

/// An array of NumPy for numbers that are yet to come. @param rows, columns  0 columns: of one dimension
py::object empty_array(const char* type, std::size_t rows, std::size_t columns = 0);

/// The same with these.
template <class T>
py::object array_of(std::span<const T> values, std::size_t columns = 0) {
  py::object array = empty_array(type_name<T>(), columns == 0 ? values.size() : values.size() / columns, columns);
  std::ranges::copy(values, static_cast<T*>(py::buffer(array).request(true).ptr));
  return array;
}
template <class T>
py::object array_of(const std::vector<T>& values) {
  return array_of(std::span<const T>(values));
}

}  // namespace coala::python
