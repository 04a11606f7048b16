#include "coala/align.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "api_lm/layer_settings.h"
#include "data/data_files.h"
#include "python/bindings.h"
#include "python/call.h"
#include "python/estimates.h"
#include "python/feature_keywords.h"

namespace coala::python {
namespace {

using Names = std::vector<std::string>;

AlignOptions options_of(const py::dict& keywords) {
  const auto own = settings_of<AlignKeywords>(keywords);
  AlignOptions options;
  options.eval_fraction = own.eval_fraction;
  options.token_rank = own.token_rank;
  options.guidance_budget = own.guidance_budget;
  options.wish = own.wish;
  options.seeds = own.seeds;
  options.features = feature_settings(keywords);
  options.skip_bad = settings_of<FeatureKeywords>(keywords).skip_bad;
  options.data.reader.skip_bad = options.skip_bad;
  options.fit = settings_of<FitSettings>(keywords);
  options.fit.phase_two.seed = options.fit.seed;
  return options;
}

py::dict align(const py::dict& model, const Names& data, const Names& eval_data, const std::filesystem::path& out,
               const py::dict& keywords, int threads, const py::object& news) {
  AlignOptions options = options_of(keywords);
  options.model = ModelFile(model["path"].cast<std::filesystem::path>(), model["lora"].cast<std::filesystem::path>(),
                            model["lora_scale"].cast<double>());
  options.model.chat_template = model["chat_template"].cast<std::optional<std::string>>();
  options.model.device = {.device = model["device"].cast<std::string>(),
                          .layers = model["device_layers"].cast<std::optional<std::size_t>>()};
  options.out = out;
  options.data.paths = find_data_files(data);
  options.eval_data = find_data_files(eval_data);
  const v1::Alignment made =
      Call(threads, news).run([&](const v1::Context& context) { return v1::align(options, context); });
  py::dict result;
  result["head"] = made.head;
  result["report"] = made.report;
  result["verdict"] = text_of(made.verdict);
  py::list remarks;
  for (const std::string& remark : made.remarks) remarks.append(text_of(remark));
  result["remarks"] = remarks;
  result["accuracy"] = estimate(made.accuracy);
  result["guides"] = made.guides;
  result["up_to_date"] = made.up_to_date;
  result["json"] = text_of(made.json);
  return result;
}

}  // namespace

void bind_align(py::module_& module) {
  module.def("align", align);
}

}  // namespace coala::python
