#include "coala/dataset.h"

#include <fmt/format.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <vector>

#include "coala/error.h"
#include "python/bindings.h"
#include "python/call.h"
#include "python/records.h"

namespace coala::python {
namespace {

using v1::Dataset;

Dataset read_files(const py::args& paths, bool skip_bad, bool unjudged, int threads, const py::object& news) {
  std::vector<std::string> names;
  for (const py::handle path : paths) names.push_back(path.cast<std::filesystem::path>().string());
  return Call(threads, news).run([&](const v1::Context& context) {
    return Dataset::read(names, {.skip_bad = skip_bad, .unjudged = unjudged}, context);
  });
}

/// What is wrong with a record, with its number.
template <class OneRecord>
Dataset dataset_of(const py::iterable& records, OneRecord (*read_one)(const py::dict&)) {
  std::vector<OneRecord> read;
  for (const py::handle record : records) {
    try {
      if (!py::isinstance<py::dict>(record)) throw Error(ErrorCode::BadInput, "it is no dict");
      read.push_back(read_one(py::reinterpret_borrow<py::dict>(record)));
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("record {} (counted from 1): {}", read.size() + 1, error.what()),
                  error.hint());
    }
  }
  const py::gil_scoped_release released;
  return Dataset::of(std::span<const OneRecord>(read));
}

py::dict record_at(const Dataset& data, py::ssize_t number) {
  const auto size = static_cast<py::ssize_t>(data.size());
  const py::ssize_t place = number < 0 ? number + size : number;
  if (place < 0 || place >= size) throw py::index_error(fmt::format("record {} of {}", number, size));
  const auto index = static_cast<std::size_t>(place);
  return data.pairs() ? record_of(data.pair(index)) : record_of(data.labelled(index));
}

constexpr const char* kReadFiles =
    "Reads files of any shape in docs/data-shapes.md.\n\n"
    "paths: files, patterns or folders\n"
    "skip_bad: leave out records that cannot be read, and warn of them\n"
    "unjudged: read answers that nobody has judged as well, with the label 0";
constexpr const char* kPairRecords =
    "Preference pairs: dicts of prompt, chosen and rejected, and where known id, margin, weight, subset and group.\n\n"
    "prompt: a text, which the user says, or a list of messages, {'role': ..., 'content': ...}; instead of it, prefix "
    "is text that the responses continue word for word";
constexpr const char* kLabelledRecords =
    "Responses that are good or bad by themselves: dicts of prompt, response and label (1, -1, or 0: nobody has judged "
    "it); the rest as in of_pairs().";

}  // namespace

void bind_dataset(py::module_& module) {
  using py::arg;
  py::class_<Dataset>(module, "Dataset",
                      "Preference pairs or labelled responses. Immutable; `len()` and numbers in brackets give their "
                      "records as dicts.")
      .def_static("read", read_files, kReadFiles, arg("skip_bad") = false, arg("unjudged") = false, arg("threads") = 0,
                  arg("news") = py::none())
      .def_static(
          "of_pairs", [](const py::iterable& records) { return dataset_of<Pair>(records, pair_of); }, kPairRecords,
          arg("records"))
      .def_static(
          "of_labelled", [](const py::iterable& records) { return dataset_of<Labelled>(records, labelled_of); },
          kLabelledRecords, arg("records"))
      .def_property_readonly("pairs", &Dataset::pairs, "Whether they are pairs, else labelled responses.")
      .def("__len__", &Dataset::size)
      .def("__getitem__", record_at, arg("number"))
      .def("__repr__", [](const Dataset& self) {
        return fmt::format("<coala_align.Dataset: {} {}>", self.size(), self.pairs() ? "pairs" : "labelled responses");
      });
}

}  // namespace coala::python
