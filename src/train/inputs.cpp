#include "train/inputs.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

std::string data_name(const FeatureSet& set) {
  const std::string name = set.metadata_value("data.name");
  return name.empty() ? std::filesystem::path(set.path).filename().string() : name;
}

Json describe(const FeatureSet& train, const FeatureSet* held_out) {
  Json data;
  data["training data"] = data_name(train);
  data["evaluation data"] = held_out != nullptr ? data_name(*held_out) : "held-out prompts of the training data";
  if (train.bound()) {
    data["model"] =
        fmt::format("{} ({}, {})", train.metadata_value("backbone.name"), train.metadata_value("backbone.architecture"),
                    train.metadata_value("backbone.quantization"));
    data["features"] = fmt::format("{} over {}, at most {} tokens", train.metadata_value("pooling"),
                                   train.metadata_value("pooling.over"), train.metadata_value("max_length"));
  }
  if (const std::string adapter = train.metadata_value("adapter.name"); !adapter.empty()) {
    data["adapter"] = fmt::format("{}, scale {}", adapter, train.metadata_value("adapter.scale"));
  }
  if (const std::string control = train.metadata_value("control"); !control.empty()) data["control"] = control;
  return data;
}

/// Hashes of everything that decides the features.
Json fingerprints(const FeatureSet& train, const FeatureSet* held_out) {
  Json json = Json::object();
  const auto add = [&json](const char* name, const FeatureSet& set, const char* key) {
    if (std::string value = set.metadata_value(key); !value.empty()) json[name] = std::move(value);
  };
  add("features", train, "fingerprint");
  if (held_out != nullptr) add("evaluation features", *held_out, "fingerprint");
  add("training data", train, "data.hash");
  if (held_out != nullptr) add("evaluation data", *held_out, "data.hash");
  add("model", train, "backbone.hash");
  add("adapter", train, "adapter.hash");
  add("tokenizer", train, "tokenizer.hash");
  add("chat template", train, "template.hash");
  return json;
}

/// Tokens of all responses with their prompts; nothing for features that do not say.
void add_tokens(Json& metrics, const char* key, const FeatureSet& set) {
  const std::string text = set.metadata_value("extract.tokens");
  std::uint64_t tokens = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), tokens).ec == std::errc()) metrics[key] = tokens;
}

}  // namespace

Json input_metrics(const FeatureSet& train, const FeatureSet* held_out) {
  Json json;
  json["data"] = describe(train, held_out);
  if (Json hashes = fingerprints(train, held_out); !hashes.empty()) json["fingerprints"] = std::move(hashes);
  add_tokens(json, "num_tokens", train);
  if (held_out != nullptr) add_tokens(json, "eval_num_tokens", *held_out);
  return json;
}

}  // namespace coala
