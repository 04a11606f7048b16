#include "extract/provenance.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/hash.h"
#include "core/setting_json.h"
#include "core/version.h"
#include "features/provenance_keys.h"

namespace coala {
namespace {

/// Settings that every file tells. Another is told where it is not the default, so that the fingerprints of files
/// from before there was that setting stay as they are.
constexpr std::array<std::string_view, 3> kAlwaysTold{"pooling", "pooling.over", "max_length"};

/// Settings as a file tells them.
Metadata texts_of(const FeatureSettings& settings) {
  const nlohmann::ordered_json standard = settings_json(FeatureSettings{});
  const nlohmann::ordered_json own = settings_json(settings);
  Metadata texts;
  for (const auto& [key, value] : own.items()) {
    if (std::ranges::find(kAlwaysTold, key) == kAlwaysTold.end() && value == standard.at(key)) continue;
    texts[key] = value.is_string() ? value.get<std::string>() : value.dump();
  }
  return texts;
}

/// What is no value of its kind leaves the default.
template <class T>
void read_text(const std::string& text, T& value) {
  if constexpr (std::is_enum_v<T>) {
    value = value_named<T>(text).value_or(value);
  } else {
    std::from_chars(text.data(), text.data() + text.size(), value);
  }
}

constexpr const char* kLeftOut = "extract.left_out";

/// Text instead of a template's source: what TemplateMode::Raw does.
constexpr const char* kRawRule = "raw: each content and a line break";
constexpr const char* kNoneRule = "none: each content";
constexpr const char* kParsedRule = "parsed: each content, with its control tokens";

const char* rule_of(TemplateMode mode) {
  return mode == TemplateMode::None ? kNoneRule : mode == TemplateMode::Parsed ? kParsedRule : kRawRule;
}

using Field = std::pair<const char*, std::uint64_t FeatureCounts::*>;
constexpr std::array<Field, 12> kCounts{{{"extract.records", &FeatureCounts::records},
                                         {"extract.responses", &FeatureCounts::responses},
                                         {"extract.tokens", &FeatureCounts::tokens},
                                         {"extract.response_tokens", &FeatureCounts::response_tokens},
                                         {"extract.unique_tokens", &FeatureCounts::unique_tokens},
                                         {"extract.evaluated_tokens", &FeatureCounts::evaluated_tokens},
                                         {"extract.attention_pairs", &FeatureCounts::attention_pairs},
                                         {"extract.truncated_prompts", &FeatureCounts::truncated_prompts},
                                         {"extract.truncated_responses", &FeatureCounts::truncated_responses},
                                         {"extract.dropped_prompt_tokens", &FeatureCounts::dropped_prompt_tokens},
                                         {"extract.dropped_response_tokens", &FeatureCounts::dropped_response_tokens},
                                         {"extract.marked_records", &FeatureCounts::marked_records}}};

std::string value_of(const Metadata& metadata, std::string_view key) {
  const auto found = metadata.find(std::string(key));
  return found == metadata.end() ? std::string() : found->second;
}

std::string shortened(const std::string& value) {
  if (value.empty()) return "nothing";
  return value.size() > 12 ? value.substr(0, 8) + ".." : value;
}

}  // namespace

Metadata describe_backbone(const BackboneIdentity& backbone) {
  return {{"backbone.name", backbone.name},
          {"backbone.architecture", backbone.architecture},
          {"backbone.quantization", backbone.quantization},
          {"backbone.hash", backbone.hash},
          {"backbone.engine", backbone.engine},
          {"backbone.states", kStatesVersion},
          {"tokenizer.hash", backbone.tokenizer_hash}};
}

Metadata describe_features(const FeatureExtractor& extractor, FeatureKind kind, Dtype dtype, const DataIdentity& data) {
  const BackboneIdentity& backbone = extractor.backbone().identity();
  const FeatureSettings& settings = extractor.settings();
  const TemplateMode mode = settings.template_mode;
  const bool own = mode == TemplateMode::Model;
  Metadata metadata{{"coala.format", "features-1"},
                    {"template", own ? backbone.template_source : template_mode_name(mode)},
                    {"template.hash", own ? backbone.template_hash : hash_text(rule_of(mode))},
                    {"bos", extractor.backbone().tokenizer().adds_bos() ? "added" : "none"},
                    {"feature.tensor", backbone.short_positions ? "final_norm, short positions" : "final_norm"},
                    {"feature.layer", layers_name(settings.layers)},
                    {"data.name", data.name},
                    {"data.hash", data.hash},
                    {"data.kind", kind == FeatureKind::Pairs ? "pairs" : "labelled"},
                    {"data.groups", "opening turn"},
                    {"extract.dtype", std::string(dtype_name(dtype))},
                    {"extract.truncation", "prompt left to 1/4, then response right"},
                    {"extract.packing", fmt::format("prefix tree, {} rows", extractor.evaluator().batch_rows())}};
  metadata.merge(describe_backbone(backbone));
  metadata.merge(texts_of(settings));
  metadata["max_length"] = std::to_string(extractor.max_length_tokens());
  if (!backbone.device.empty()) metadata["feature.device"] = backbone.device;
  if (const TokenProjection* projection = extractor.projection()) {
    metadata["token.rank"] = std::to_string(projection->basis.rank());
    metadata["token.share"] = fmt::format("{}", projection->share);
    metadata["token.basis"] = projection->basis.hash();
  }
  if (backbone.encoder) metadata["backbone.kind"] = "encoder";
  if (!backbone.adapter_hash.empty()) {
    metadata["adapter.name"] = backbone.adapter_name;
    metadata["adapter.hash"] = backbone.adapter_hash;
    metadata["adapter.scale"] = backbone.adapter_scale;
  }
  Hasher hasher;
  for (const ProvenanceKey& entry : kProvenanceKeys) {
    const auto found = metadata.find(std::string(entry.key));
    if (entry.decides && found != metadata.end()) hasher.add(entry.key).add(found->second);  // no adapter, no entry
  }
  metadata["fingerprint"] = hasher.hex();
  return metadata;
}

FeatureSettings settings_of(const Metadata& metadata) {
  FeatureSettings settings;
  for_each_setting(
      settings, [&](const Setting& setting, auto& value) { read_text(value_of(metadata, setting.json_key()), value); });
  settings.prefix_every_tokens = 0;
  if (const std::string layers = value_of(metadata, "feature.layer"); !layers.empty()) {
    settings.layers = parse_layers(layers);
  }
  settings.template_mode = parse_template_mode(value_of(metadata, "template"));
  return settings;
}

Metadata with_counts(Metadata metadata, const FeatureCounts& counts) {
  for (const auto& [key, field] : kCounts) metadata[key] = std::to_string(counts.*field);
  return metadata;
}

Metadata with_left_out(Metadata metadata, const std::vector<LeftOutRecord>& left_out) {
  std::string numbers;
  for (const LeftOutRecord& record : left_out) numbers += (numbers.empty() ? "" : ",") + std::to_string(record.number);
  if (!numbers.empty()) metadata[kLeftOut] = numbers;
  return metadata;
}

std::vector<LeftOutRecord> left_out_of(const Metadata& metadata) {
  const std::string text = value_of(metadata, kLeftOut);
  std::vector<LeftOutRecord> records;
  for (const char *at = text.data(), *const end = at + text.size(); at < end;) {
    LeftOutRecord record;
    at = std::from_chars(at, end, record.number).ptr + 1;  // behind the comma
    records.push_back(std::move(record));
  }
  return records;
}

FeatureCounts counts_of(const Metadata& metadata) {
  FeatureCounts counts;
  for (const auto& [key, field] : kCounts) {
    const std::string text = value_of(metadata, key);
    std::from_chars(text.data(), text.data() + text.size(), counts.*field);
  }
  return counts;
}

std::string describe_difference(const Metadata& found, const Metadata& expected) {
  std::string text;
  for (const ProvenanceKey& entry : kProvenanceKeys) {
    const std::string before = value_of(found, entry.key);
    const std::string now = value_of(expected, entry.key);
    if (!entry.decides || before == now) continue;
    text +=
        fmt::format("{}{} ({} instead of {})", text.empty() ? "" : ", ", entry.what, shortened(before), shortened(now));
  }
  return text.empty() ? "nothing that is recorded" : text;
}

}  // namespace coala
