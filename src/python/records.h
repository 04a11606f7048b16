#pragma once

#include <pybind11/pybind11.h>

#include "coala/records.h"

namespace coala::python {

/// A text, which the user says; messages, dicts of role and content; or a dict of a `prefix`, which the response
/// continues word for word. @throws Error{BadInput}
Prompt prompt_of(pybind11::handle prompt);

/// Records in coala's own shape (docs/data-shapes.md). @throws Error{BadInput} naming the column
Pair pair_of(const pybind11::dict& record);
Labelled labelled_of(const pybind11::dict& record);
pybind11::dict record_of(const Pair& pair);
pybind11::dict record_of(const Labelled& labelled);

}  // namespace coala::python
