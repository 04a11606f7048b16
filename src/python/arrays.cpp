#include "python/arrays.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace coala::python {
namespace {

py::object numpy() {
  return py::module_::import("numpy");
}

}  // namespace

Array::Array(const py::object& values, const char* type, const std::string& name, std::initializer_list<int> dimensions)
    : array_(numpy().attr("asarray")(values).attr("astype")(type, py::arg("order") = "C",
                                                            py::arg("casting") = "same_kind", py::arg("copy") = false)),
      info_(array_.request()) {
  if (std::ranges::find(dimensions, static_cast<int>(info_.ndim)) != dimensions.end()) return;
  std::string expected;
  for (const int count : dimensions) expected += fmt::format("{}{}", expected.empty() ? "" : " or ", count);
  throw Error(ErrorCode::BadUsage,
              fmt::format("'{}' is an array of {} dimensions; expected {}", name, info_.ndim, expected));
}

py::object empty_array(const char* type, std::size_t rows, std::size_t columns) {
  return numpy().attr("empty")(columns == 0 ? py::make_tuple(rows) : py::make_tuple(rows, columns), type);
}

}  // namespace coala::python
