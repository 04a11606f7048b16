#include "coala/extract.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "api_lm/layer_settings.h"
#include "coala/error.h"
#include "coala/export.h"
#include "python/arrays.h"
#include "python/bindings.h"
#include "python/call.h"
#include "python/feature_keywords.h"
#include "python/records.h"

namespace coala::python {
namespace {

using std::filesystem::path;

py::dict extract(const v1::Model& model, const v1::Dataset& data, const std::optional<path>& out,
                 const py::dict& keywords, int threads, const py::object& news) {
  const FeatureSettings settings = feature_settings(keywords);
  const bool skip_bad = settings_of<FeatureKeywords>(keywords).skip_bad;
  if (!out && settings.prefix_every_tokens > 0) {
    throw Error(ErrorCode::BadUsage, "prefix_rows is given, and features in memory have rows of whole responses only",
                "name a file with out=");
  }
  const v1::Extraction made = Call(threads, news).run([&](const v1::Context& context) {
    return out ? v1::extract_to_file(model, data, *out, settings, skip_bad, context)
               : v1::extract(model, data, settings, skip_bad, context);
  });
  py::dict result;
  result["features"] = made.features;
  result["records"] = array_of(std::vector<std::int64_t>(made.records.begin(), made.records.end()));
  result["tokens"] = made.tokens;
  result["evaluated_tokens"] = made.evaluated_tokens;
  result["seconds"] = made.seconds;
  return result;
}

py::object score(const v1::Model& model, const v1::Head& head, const py::object& prompt,
                 const std::vector<std::string>& responses, bool allow_unbound, int threads, const py::object& news) {
  const Prompt asked = prompt_of(prompt);
  return array_of(Call(threads, news).run([&](const v1::Context& context) {
    return v1::score(model, head, asked, responses, allow_unbound, context);
  }));
}

py::dict export_guidance(const v1::Model& model, const v1::Head& head, const path& out, const py::dict& keywords,
                         int threads, const py::object& news) {
  const auto asked = settings_of<ExportKeywords>(keywords);
  const v1::ExportSettings settings{asked.settings.format, asked.settings.quantised, asked.settings.scale,
                                    asked.settings.name, asked.allow_unbound};
  const v1::Exported made = Call(threads, news).run([&](const v1::Context& context) {
    return v1::export_guidance(model, head, out, settings, context);
  });
  py::dict result;
  result["adapter"] = made.adapter;
  result["name"] = text_of(made.name);
  result["rank"] = made.rank;
  result["bytes"] = made.bytes;
  result["divergence"] = made.divergence;
  result["same_tokens"] = made.same_tokens;
  return result;
}

}  // namespace

void bind_extract(py::module_& module) {
  module.def("extract", extract);
  module.def("score", score);
  module.def("export", export_guidance);
}

}  // namespace coala::python
