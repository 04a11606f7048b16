#include "coala/features.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "api/state.h"
#include "python/arrays.h"
#include "python/bindings.h"
#include "python/text.h"

namespace coala::python {
namespace {

v1::Features of_pairs(const py::object& chosen, const py::object& rejected, const py::object& prompt,
                      const py::object& weight, const py::object& margin, const py::object& length_chosen,
                      const py::object& length_rejected) {
  const Array better(chosen, "float32", "chosen", {2});
  const Array worse(rejected, "float32", "rejected", {2});
  const ArrayColumn<std::int64_t> prompts(prompt, "prompt");
  const ArrayColumn<float> weights(weight, "weight");
  const ArrayColumn<float> margins(margin, "margin");
  const ArrayColumn<std::int32_t> lengths_chosen(length_chosen, "length_chosen");
  const ArrayColumn<std::int32_t> lengths_rejected(length_rejected, "length_rejected");
  const v1::PairArrays arrays{.rows = better.size(0),
                              .dimension = better.size(1),
                              .chosen = better.span<float>(),
                              .rejected = worse.span<float>(),
                              .prompt = prompts.values(),
                              .weight = weights.values(),
                              .margin = margins.values(),
                              .length_chosen = lengths_chosen.values(),
                              .length_rejected = lengths_rejected.values()};
  const py::gil_scoped_release released;
  return v1::Features::of_pairs(arrays);
}

v1::Features of_labelled(const py::object& features, const py::object& labels, const py::object& prompt,
                         const py::object& weight, const py::object& length) {
  const Array rows(features, "float32", "features", {2});
  const Array signs(labels, "int8", "labels", {1});
  const ArrayColumn<std::int64_t> prompts(prompt, "prompt");
  const ArrayColumn<float> weights(weight, "weight");
  const ArrayColumn<std::int32_t> lengths(length, "length");
  const v1::LabelledArrays arrays{.rows = rows.size(0),
                                  .dimension = rows.size(1),
                                  .features = rows.span<float>(),
                                  .labels = signs.span<std::int8_t>(),
                                  .prompt = prompts.values(),
                                  .weight = weights.values(),
                                  .length = lengths.values()};
  const py::gil_scoped_release released;
  return v1::Features::of_labelled(arrays);
}

v1::Features features_from_file(const std::filesystem::path& path) {
  const py::gil_scoped_release released;
  return v1::Features::load(path);
}

py::object matrix_of(const StoredRows& rows) {
  const py::object array = empty_array("float32", rows.rows(), rows.cols());
  const std::span<float> to = Array(array, "float32", "rows", {2}).span<float>();
  const py::gil_scoped_release released;
  for (std::size_t i = 0; i < rows.rows(); ++i) rows.read(i, 0, to.subspan(i * rows.cols(), rows.cols()));
  return array;
}

/// What there is of them, by the names of of_pairs() or of_labelled().
py::dict arrays_of(const v1::Features& features) {
  const FeatureSet& set = features.state().set;
  py::dict arrays;
  const auto add = [&arrays](const char* name, const auto& column) {
    if (!column.empty()) arrays[name] = array_of(column);
  };
  if (features.pairs()) {
    arrays["chosen"] = matrix_of(set.chosen);
    arrays["rejected"] = matrix_of(set.rejected);
  } else {
    arrays["features"] = matrix_of(set.features);
    add("labels", set.labels);
  }
  if (set.has_prompt_id) add("prompt", set.prompt_id);
  add("weight", set.weight);
  add("margin", set.margin);
  add("length_chosen", set.length_chosen);
  add("length_rejected", set.length_rejected);
  add("length", set.length);
  return arrays;
}

constexpr const char* kPairArrays =
    "Preferences as numbers: row i says that chosen[i] is better than rejected[i].\n\n"
    "chosen, rejected: [n, d] float32, or what becomes that\n"
    "prompt: [n] whole numbers; rows of one prompt have one number and are held out together. None: every row is of "
    "its own\n"
    "weight: [n], above 0: how much a row counts\n"
    "margin: [n]: by how much chosen is better\n"
    "length_chosen, length_rejected: [n]: characters of the responses";
constexpr const char* kLabelledArrays =
    "Responses that are good or bad by themselves, as numbers.\n\n"
    "features: [n, d] float32, or what becomes that\n"
    "labels: [n], -1 or +1\n"
    "prompt, weight, length: [n], as in of_pairs()";

}  // namespace

void bind_features(py::module_& module) {
  using py::arg;
  using v1::Features;
  const py::none none;
  py::class_<Features>(module, "Features",
                       "Rows of numbers that heads are fitted to and judged on. Immutable; any number of threads may "
                       "use them.")
      .def_static("of_pairs", of_pairs, kPairArrays, arg("chosen"), arg("rejected"), arg("prompt") = none,
                  arg("weight") = none, arg("margin") = none, arg("length_chosen") = none,
                  arg("length_rejected") = none)
      .def_static("of_labelled", of_labelled, kLabelledArrays, arg("features"), arg("labels"), arg("prompt") = none,
                  arg("weight") = none, arg("length") = none)
      .def_static("load", features_from_file,
                  "Reads what `coala extract` or extract() wrote, or anybody's safetensors with `chosen` and "
                  "`rejected`, or `features` and `labels`. Rows stay in the mapped file.",
                  arg("path"))
      .def("arrays", arrays_of,
           "The numbers as new arrays of NumPy, by the names of of_pairs() or of_labelled(); what there is not is left "
           "out.")
      .def_property_readonly("pairs", &Features::pairs, "Whether they are pairs, else labelled responses.")
      .def_property_readonly("rows", &Features::rows, "How many rows: n.")
      .def_property_readonly("dimension", &Features::dimension, "Numbers of a row: d.")
      .def_property_readonly("bound", &Features::bound, "Whether they say which model they come from.")
      .def_property_readonly("metadata", &Features::metadata, "Texts by name (docs/head-file.md); empty for arrays.")
      .def("__len__", &Features::rows)
      .def("__repr__", [](const Features& self) {
        return "<coala_align.Features: " + std::to_string(self.rows()) + (self.pairs() ? " pairs" : " labelled rows") +
               " of dimension " + std::to_string(self.dimension()) + ">";
      });
}

}  // namespace coala::python
