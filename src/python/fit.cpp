#include "coala/fit.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "api/fit_settings.h"
#include "coala/evaluate.h"
#include "python/bindings.h"
#include "python/call.h"
#include "python/estimates.h"
#include "python/keywords.h"

namespace coala::python {
namespace {

py::dict fit(const v1::Features& features, const py::dict& keywords, int threads, const py::object& news) {
  const auto settings = settings_of<FitSettings>(keywords);
  const v1::Fit made =
      Call(threads, news).run([&](const v1::Context& context) { return v1::fit(features, settings, context); });
  py::dict result;
  result["head"] = made.head;
  result["status"] = text_of(status_name(made.status));
  result["certificate"] = py::none();
  if (const auto& certificate = made.certificate) {
    result["certificate"] = py::make_tuple(certificate->objective, certificate->bound, certificate->relative_gap);
  }
  result["iterations"] = made.iterations;
  result["seconds"] = made.seconds;
  result["linear"] = made.linear;
  result["penalty_ratio"] = made.penalty_ratio;
  result["held_out_loss"] = made.held_out_loss;
  result["held_out_accuracy"] = made.held_out_accuracy;
  return result;
}

py::dict evaluate(const v1::Head& head, const v1::Features& features, std::uint64_t seed) {
  const auto found = [&] {
    const py::gil_scoped_release released;
    return v1::evaluate(head, features, seed);
  }();
  py::dict result;
  result["rows"] = found.rows;
  result["ties"] = found.ties;
  result["accuracy"] = estimate(found.accuracy);
  result["loss"] = estimate(found.loss);
  result["margin"] = estimate(found.margin);
  result["longer"] = estimate(found.longer);
  result["area"] = estimate(found.area);
  result["json"] = text_of(found.json);
  return result;
}

}  // namespace

void bind_fit(py::module_& module) {
  module.def("fit", fit);
  module.def("evaluate", evaluate);
}

}  // namespace coala::python
