#include "cli/model_features.h"

#include "core/error.h"
#ifdef COALA_HAVE_LM
#include "extract/extract_file.h"
#endif

namespace coala {

void add_model_input_options(CLI::App& command, ModelInput& input, bool required) {
  add_model_options(command, input.model, required);
  add_data_options(command, input.data, required);
  command.add_flag("--allow-unbound", input.allow_unbound,
                   "accept a head or features that do not say which model they come from");
}

#ifdef COALA_HAVE_LM

namespace {

/// The settings a head's features were made with; the defaults for a head that does not say.
FeatureSettings settings_of(const Head& head) {
  FeatureSettings settings;
  if (head.value("pooling") == "last") settings.pooling = Pooling::Last;
  if (head.value("pooling") == "mean+last") settings.pooling = Pooling::MeanAndLast;
  if (const std::string layers = head.value("feature.layer"); !layers.empty()) settings.layers = parse_layers(layers);
  if (head.value("feature.precision") == precision_name(Precision::BF16)) settings.precision = Precision::BF16;
  if (head.value("pooling.over") == "all") settings.over = PoolOver::All;
  if (head.value("template") == "raw") settings.template_mode = TemplateMode::Raw;
  const std::string length = head.value("max_length");
  if (!length.empty())
    settings.max_length_tokens = static_cast<std::size_t>(std::strtoull(length.c_str(), nullptr, 10));
  return settings;
}

}  // namespace

FeatureSettings check_model(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                            const std::string& model, bool allow_unbound) {
  const FeatureSettings settings = settings_of(head);
  const FeatureExtractor probe(backbone, settings, /*threads=*/1);
  check_head_matches(head, head_path, probe.dimension(), describe_features(probe, FeatureKind::Pairs, Dtype::F32, {}),
                     model, allow_unbound);
  return settings;
}

HeadFeatures features_for_head(const Head& head, const std::filesystem::path& head_path, const ModelInput& input,
                               int threads) {
  const Backbone backbone(input.model.file());
  ExtractOptions options;
  options.threads = threads;
  options.features = check_model(head, head_path, backbone, input.model.model, input.allow_unbound);
  MemoryExtraction extraction = extract_to_memory(backbone, {input.data.path, input.data.reader()}, options);
  return {std::move(extraction.features), std::move(extraction.ids)};
}

#else

HeadFeatures features_for_head(const Head&, const std::filesystem::path&, const ModelInput&, int) {
  throw Error(ErrorCode::NotBuilt, "this build has no language-model part", "build with -DCOALA_LM=ON");
}

#endif

}  // namespace coala
