#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "coala/evaluate.h"

namespace coala::python {

/// (value, low, high), or None.
inline pybind11::object estimate(const std::optional<v1::Estimate>& figure) {
  if (!figure) return pybind11::none();
  return pybind11::make_tuple(figure->value, figure->low, figure->high);
}

}  // namespace coala::python
