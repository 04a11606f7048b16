#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/command.h"
#include "core/safetensors.h"
#include "features/feature_index.h"
#include "head/head.h"

namespace coala {
namespace {

struct InspectOptions {
  CommonOptions common;
  std::string file;
};

void describe_set(const FeatureSet& set, nlohmann::ordered_json& json) {
  json["kind"] = "features";
  json["rows"] = set.rows();
  json["dimension"] = set.dimension();
  json["bound"] = set.bound();
}

/// A folder of feature files.
nlohmann::ordered_json describe_store(const std::string& path) {
  const FeatureIndex index = read_feature_index(path);
  nlohmann::ordered_json json;
  json["file"] = path;
  describe_set(load_features(path), json);
  json["metadata"] = index.metadata;
  for (const FeatureIndex::File& file : index.files) json["files"][file.name] = file.rows;
  return json;
}

nlohmann::ordered_json describe(const std::string& path) {
  if (std::filesystem::is_directory(path)) return describe_store(path);
  const SafetensorsFile file(path);
  const auto format = file.metadata().find("coala.format");
  nlohmann::ordered_json json;
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
  const nlohmann::ordered_json json = describe(options.file);
  if (options.common.json) {
    print_json(json);
    return;
  }
  fmt::print("{}: {}\n", options.file, json["kind"].get<std::string>());
  if (json.contains("files")) {
    for (const auto& [name, rows] : json["files"].items())
      fmt::print("  {} {} rows\n", name, rows.get<std::uint64_t>());
  }
  if (json.contains("tensors")) {
    for (const auto& [name, tensor] : json["tensors"].items()) {
      fmt::print("  {:<12} {:<5} {}\n", name, tensor["dtype"].get<std::string>(), tensor["shape"].dump());
    }
  }
  for (const auto& [key, value] : json["metadata"].items()) fmt::print("  {}: {}\n", key, value.get<std::string>());
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App& command = *app.add_subcommand("inspect", "show what a head or feature file holds, and check it");
  command.add_option("file", options->file, "head, feature file, or folder of feature files")->required();
  add_common_options(command, options->common);
  command.callback([options] { run_inspect(*options); });
}

}  // namespace coala
