#pragma once

#include <pybind11/pybind11.h>

namespace coala::python {

// What the module has, by files. Python's own files beside this folder's sources (coala_align/) call the functions.

void bind_keywords(pybind11::module_& module);
void bind_features(pybind11::module_& module);
void bind_head(pybind11::module_& module);
void bind_fit(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_dataset(pybind11::module_& module);
void bind_extract(pybind11::module_& module);
void bind_generate(pybind11::module_& module);
void bind_align(pybind11::module_& module);

}  // namespace coala::python
