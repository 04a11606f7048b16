#include "coala/head.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "python/arrays.h"
#include "python/bindings.h"
#include "python/text.h"

namespace coala::python {
namespace {

v1::Head head_from_file(const std::filesystem::path& path) {
  const py::gil_scoped_release released;
  return v1::Head::load(path);
}

void save(const v1::Head& head, const std::filesystem::path& path) {
  const py::gil_scoped_release released;
  head.save(path);
}

/// A number for [d], else an array.
py::object score_rows(const v1::Head& head, const py::object& features) {
  const Array rows(features, "float32", "features", {1, 2});
  const std::span<const float> values = rows.span<float>();
  if (rows.dimensions() == 1) return py::float_(head.score(values));
  const std::size_t columns = rows.size(1);
  const py::object scores = empty_array("float64", rows.size(0));
  const std::span<double> to = Array(scores, "float64", "scores", {1}).span<double>();
  {
    const py::gil_scoped_release released;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = head.score(values.subspan(i * columns, columns));
  }
  return scores;
}

py::object probability(const v1::Head& head, const py::object& scores) {
  const Array given(scores, "float64", "scores", {0, 1});
  const std::span<const double> values = given.span<double>();
  if (given.dimensions() == 0) return py::float_(head.probability(values[0]));
  std::vector<double> result;
  for (const double value : values) result.push_back(head.probability(value));
  return array_of(result);
}

py::dict scores_of(const v1::Head& head, const v1::Features& features) {
  const auto scores = [&] {
    const py::gil_scoped_release released;
    return v1::score(head, features);
  }();
  py::dict result;
  if (features.pairs()) {
    result["chosen"] = array_of(scores.chosen);
    result["rejected"] = array_of(scores.rejected);
  } else {
    result["single"] = array_of(scores.single);
  }
  return result;
}

}  // namespace

void bind_head(py::module_& module) {
  using py::arg;
  using v1::Head;
  py::class_<Head>(module, "Head",
                   "A reward head: scores features, and says which model they must come from. Immutable; any number "
                   "of threads may use it.")
      .def_static("load", head_from_file, "Reads a head file (docs/head-file.md).", arg("path"))
      .def("save", save, "Writes a head file: all of it or nothing.", arg("path"))
      .def("score", score_rows, "The score of features [d], or the scores of rows of them, [n, d]: [n].",
           arg("features"))
      .def("scores", scores_of,
           "The scores of Features: a dict of arrays [n], `chosen` and `rejected` of pairs, `single` of labelled rows.",
           arg("features"))
      .def("probability", probability,
           "Of a score: the probability that the response is good, or of a difference of scores, that the first is "
           "better. Of an array of them the array.",
           arg("scores"))
      .def_property_readonly("dimension", &Head::dimension, "Numbers of a feature: d.")
      .def_property_readonly("bound", &Head::bound, "Whether it says which model it is for.")
      .def_property_readonly("has_token_head", &Head::has_token_head, "Whether it can guide every token.")
      .def_property_readonly("metadata", &Head::metadata, "Texts by name (docs/head-file.md).")
      .def("__repr__", [](const Head& self) {
        return "<coala_align.Head of dimension " + std::to_string(self.dimension()) +
               (self.has_token_head() ? ", with a token head>" : ">");
      });
}

}  // namespace coala::python
