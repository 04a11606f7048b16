#include "cli/model_features.h"

#include <fmt/format.h>

#include "core/error.h"
#ifdef COALA_HAVE_LM
#include "extract/extract_file.h"
#endif

namespace coala {

void add_model_input_options(CLI::App& command, ModelInput& input, bool model_required, bool data_required) {
  add_model_options(command, input.model, model_required);
  add_skip_option(command, input.data);
  add_data_options(command, input.data, data_required);
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
  settings.template_mode = parse_template_mode(head.value("template"));
  const std::string length = head.value("max_length");
  if (!length.empty())
    settings.max_length_tokens = static_cast<std::size_t>(std::strtoull(length.c_str(), nullptr, 10));
  return settings;
}

}  // namespace

FeatureSettings check_model(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                            const ModelOptions& model, bool allow_unbound) {
  const FeatureSettings settings = settings_of(head);
  if (!model.chat_template.empty() && model.template_mode() != settings.template_mode) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} was trained with --template {}, and --template {} is given", head_path.string(),
                            template_mode_name(settings.template_mode), model.chat_template),
                "leave --template out, or train the head with it");
  }
  const FeatureExtractor probe(backbone, settings, /*threads=*/1);
  check_head_matches(head, head_path, probe.dimension(), describe_features(probe, FeatureKind::Pairs, Dtype::F32, {}),
                     model.model, allow_unbound);
  return settings;
}

HeadFeatures features_for_head(const Head& head, const std::filesystem::path& head_path, const ModelInput& input,
                               int threads) {
  const std::shared_ptr<const RecordStore> store = read_records(input.data, /*unjudged=*/false);
  const Backbone backbone(input.model.file());
  ExtractOptions options;
  options.threads = threads;
  options.skip_bad = input.data.skip_bad;
  options.features = check_model(head, head_path, backbone, input.model, input.allow_unbound);
  show_warnings(backbone, options.features.template_mode);
  MemoryExtraction extraction = extract_to_memory(backbone, *store, options);
  return {std::move(extraction.features), std::move(extraction.ids)};
}

#else

HeadFeatures features_for_head(const Head&, const std::filesystem::path&, const ModelInput&, int) {
  throw Error(ErrorCode::NotBuilt, "this build has no language-model part", "build with -DCOALA_LM=ON");
}

#endif

std::shared_ptr<const RecordStore> read_records(const DataOptions& data, bool unjudged) {
  DataFiles files = data.files();
  files.reader.unjudged = unjudged;
  std::error_code ignored;
  return std::make_shared<const RecordStore>(files, std::filesystem::temp_directory_path(ignored));
}

}  // namespace coala
