#include "train/inputs.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <utility>

namespace coala {
namespace {

std::string data_name(const FeatureSet& set) {
  const std::string name = set.metadata_value("data.name");
  return name.empty() ? std::filesystem::path(set.path).filename().string() : name;
}

/// Absent where the features do not say.
std::optional<std::string> told(const FeatureSet& set, const char* key) {
  std::string value = set.metadata_value(key);
  return value.empty() ? std::nullopt : std::optional(std::move(value));
}

DataMetrics describe(const FeatureSet& train, const FeatureSet* held_out) {
  DataMetrics data;
  data.training_data = data_name(train);
  data.evaluation_data = held_out != nullptr ? data_name(*held_out) : "held-out prompts of the training data";
  if (train.bound()) {
    data.model =
        fmt::format("{} ({}, {})", train.metadata_value("backbone.name"), train.metadata_value("backbone.architecture"),
                    train.metadata_value("backbone.quantization"));
    data.features = fmt::format("{} over {}, at most {} tokens", train.metadata_value("pooling"),
                                train.metadata_value("pooling.over"), train.metadata_value("max_length"));
  }
  if (const std::optional<std::string> adapter = told(train, "adapter.name")) {
    data.adapter = fmt::format("{}, scale {}", *adapter, train.metadata_value("adapter.scale"));
  }
  data.control = told(train, "control");
  return data;
}

std::optional<FingerprintMetrics> fingerprints(const FeatureSet& train, const FeatureSet* held_out) {
  FingerprintMetrics hashes;
  hashes.features = told(train, "fingerprint");
  hashes.training_data = told(train, "data.hash");
  hashes.model = told(train, "backbone.hash");
  hashes.adapter = told(train, "adapter.hash");
  hashes.tokenizer = told(train, "tokenizer.hash");
  hashes.chat_template = told(train, "template.hash");
  if (held_out != nullptr) {
    hashes.evaluation_features = told(*held_out, "fingerprint");
    hashes.evaluation_data = told(*held_out, "data.hash");
  }
  bool any = false;
  FingerprintMetrics::list(hashes, [&any](const Metric&, const auto& hash) { any = any || hash; });
  return any ? std::optional(std::move(hashes)) : std::nullopt;
}

/// Tokens of all responses with their prompts; absent for features that do not say.
std::optional<std::uint64_t> tokens_of(const FeatureSet& set) {
  const std::string text = set.metadata_value("extract.tokens");
  std::uint64_t tokens = 0;
  const bool told = std::from_chars(text.data(), text.data() + text.size(), tokens).ec == std::errc();
  return told ? std::optional(tokens) : std::nullopt;
}

}  // namespace

InputMetrics input_metrics(const FeatureSet& train, const FeatureSet* held_out) {
  return {describe(train, held_out), fingerprints(train, held_out), tokens_of(train),
          held_out != nullptr ? tokens_of(*held_out) : std::nullopt};
}

}  // namespace coala
