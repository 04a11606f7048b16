#include "coala/model.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "python/bindings.h"
#include "python/call.h"
#include "python/text.h"

namespace coala::python {
namespace {

using std::filesystem::path;

v1::Model model_from_file(const path& file, const std::optional<path>& lora, double lora_scale,
                          const std::optional<std::string>& chat_template, const std::string& device,
                          std::optional<std::size_t> device_layers, int threads, const py::object& news) {
  const v1::ModelSource source{file, lora.value_or(path()), lora_scale, chat_template, device, device_layers};
  return Call(threads, news).run([&](const v1::Context& context) { return v1::Model(source, context); });
}

py::list warnings_of(const v1::Model& model) {
  py::list texts;
  for (const std::string& warning : model.warnings()) texts.append(text_of(warning));
  return texts;
}

py::dict info_of(const v1::Model& model) {
  const v1::ModelInfo& known = model.info();
  py::dict info;
  info["name"] = text_of(known.name);
  info["architecture"] = text_of(known.architecture);
  info["quantization"] = text_of(known.quantization);
  info["hash"] = text_of(known.hash);
  info["dimension"] = known.dimension;
  info["layers"] = known.layers;
  info["vocabulary"] = known.vocabulary;
  info["context_tokens"] = known.context_tokens;
  info["parameters"] = known.parameters;
  info["encoder"] = known.encoder;
  return info;
}

constexpr const char* kModel =
    "A frozen language model in memory. Immutable; any number of threads may use it, and it stays as long as anything "
    "that was made with it.\n\n"
    "path: GGUF\n"
    "lora: a LoRA adapter (GGUF) that becomes part of the model, its weights times lora_scale\n"
    "chat_template: Jinja source to use instead of the file's own\n"
    "device: what evaluates it: 'cpu', 'vulkan:0', or 'auto' (docs/devices.md); device_layers: how many of its last "
    "layers, None: all\n"
    "threads: 0 for all cores\n"
    "news: called with each News; None: the logger coala_align";

}  // namespace

void bind_model(py::module_& module) {
  using py::arg;
  const py::none none;
  py::class_<v1::Model>(module, "Model", kModel)
      .def(py::init(&model_from_file), arg("path"), py::kw_only(), arg("lora") = none, arg("lora_scale") = 1.0,
           arg("chat_template") = none, arg("device") = "cpu", arg("device_layers") = none, arg("threads") = 0,
           arg("news") = none)
      .def_property_readonly("info", info_of, "What it is: a dict of name, architecture, dimension, layers, ...")
      .def_property_readonly("warnings", warnings_of, "What a user should know of it, a sentence each.")
      .def("__repr__", [](const v1::Model& self) { return text_of("<coala_align.Model " + self.info().name + ">"); });
}

}  // namespace coala::python
