#include <pybind11/pybind11.h>

#include "coala/error.h"
#include "coala/version.h"
#include "python/bindings.h"
#include "python/text.h"

namespace coala::python {
namespace {

/// coala's errors as Python's, with code and hint.
void translate(std::exception_ptr thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    const py::object type = py::module_::import("coala_align._errors").attr("Error");
    const py::object raised = type(error_name(error.code()), text_of(error.what()), text_of(error.hint()));
    PyErr_SetObject(type.ptr(), raised.ptr());
  }
}

}  // namespace
}  // namespace coala::python

PYBIND11_MODULE(_coala, module) {
  using namespace coala::python;
  module.attr("version") = coala::v1::version();
  py::register_exception_translator(translate);
  bind_keywords(module);
  bind_features(module);
  bind_head(module);
  bind_fit(module);
  bind_model(module);
  bind_dataset(module);
  bind_extract(module);
  bind_generate(module);
  bind_align(module);
}
