#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <string>

#include "cli/command.h"
#include "core/error.h"
#include "core/safetensors.h"
#include "features/feature_index.h"
#include "head/head.h"
#include "terminal/path_kinds.h"
#ifdef COALA_HAVE_LM
#include "lm/model_summary.h"
#endif

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

struct InspectOptions {
  CommonOptions common;
  std::string file;
};

void describe_set(const FeatureSet& set, Json& json) {
  json["kind"] = "features";
  json["rows"] = set.rows();
  json["dimension"] = set.dimension();
  json["bound"] = set.bound();
}

/// A folder of feature files.
Json describe_store(const std::string& path) {
  const FeatureIndex index = read_feature_index(path);
  Json json;
  json["file"] = path;
  describe_set(load_features(path), json);
  json["metadata"] = index.metadata;
  for (const FeatureIndex::File& file : index.files) json["files"][file.name] = file.rows;
  return json;
}

bool starts_as_gguf(const std::string& path) {
  std::string magic(4, '\0');
  return std::ifstream(path, std::ios::binary).read(magic.data(), 4) && magic == "GGUF";
}

Json describe_gguf(const std::string& path) {
#ifdef COALA_HAVE_LM
  const ModelSummary summary = summarise_model(path);
  Json json;
  json["file"] = path;
  json["kind"] = summary.adapter ? "GGUF adapter" : "GGUF model";
  Json& model = json["model"];
  if (!summary.name.empty()) model["name"] = summary.name;
  model["architecture"] = summary.architecture;
  model["parameters"] = summary.parameters;
  model["tensors"] = summary.tensors;
  if (summary.adapter) return json;
  if (!summary.file_type.empty()) model["file_type"] = summary.file_type;
  model["dimension"] = summary.dimension;
  model["layers"] = summary.layers;
  model["vocabulary"] = summary.vocabulary;
  model["context_tokens"] = summary.context_tokens;
  model["chat_template"] = summary.chat_template;
  return json;
#else
  throw Error(ErrorCode::NotBuilt, path + " is a GGUF file, and this build has no language-model part",
              "build with -DCOALA_LM=ON, or name a head or feature file");
#endif
}

Json describe(const std::string& path) {
  if (std::filesystem::is_directory(path)) return describe_store(path);
  if (starts_as_gguf(path)) return describe_gguf(path);
  const SafetensorsFile file(path);
  const auto format = file.metadata().find("coala.format");
  Json json;
  json["file"] = path;
  if (format != file.metadata().end() && format->second.starts_with("head")) {
    load_head(path);  // everything a head must be, or the error that says what it is not
    json["kind"] = "head";
  } else if (file.contains("chosen") || file.contains("features")) {
    describe_set(load_features(path), json);
  } else {
    json["kind"] = "safetensors";
  }
  json["metadata"] = file.metadata();
  for (const auto& [name, tensor] : file.tensors()) {
    json["tensors"][name] = {{"dtype", std::string(dtype_name(tensor.dtype))}, {"shape", tensor.shape}};
  }
  return json;
}

void run_inspect(const InspectOptions& options) {
  const Json json = describe(options.file);
  if (options.common.json) {
    print_json(json);
    return;
  }
  print_out("{}: {}\n", options.file, json["kind"].get<std::string>());
  if (json.contains("model")) {
    for (const auto& [name, value] : json["model"].items()) {
      // A name in a file may hold what would be an order to the terminal; JSON escapes it.
      const std::string text = value.is_boolean() ? (value.get<bool>() ? "yes" : "no")
                                                  : value.dump(-1, ' ', false, Json::error_handler_t::replace);
      print_out("  {}: {}\n", name, text);
    }
  }
  if (json.contains("files")) {
    for (const auto& [name, rows] : json["files"].items()) print_out("  {} {} rows\n", name, rows.get<std::uint64_t>());
  }
  if (json.contains("tensors")) {
    for (const auto& [name, tensor] : json["tensors"].items()) {
      print_out("  {:<12} {:<5} {}\n", name, tensor["dtype"].get<std::string>(), tensor["shape"].dump());
    }
  }
  if (!json.contains("metadata")) return;
  for (const auto& [key, value] : json["metadata"].items()) print_out("  {}: {}\n", key, value.get<std::string>());
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App& command = *app.add_subcommand("inspect", "show what a head, feature file or model holds, and check it");
  command.add_option("file", options->file, "head, feature file, folder of feature files, or model or adapter (GGUF)")
      ->type_name(kInput)
      ->required();
  add_common_options(command, options->common);
  command.callback([options] { run_inspect(*options); });
}

}  // namespace coala
