#include "decode/head_model.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "core/error.h"
#include "extract/provenance.h"

namespace coala {
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

FeatureSettings settings_for_head(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                                  std::optional<TemplateMode> mode, bool allow_unbound) {
  const FeatureSettings settings = settings_of(head);
  if (mode && *mode != settings.template_mode) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} was trained with --template {}, and --template {} is given", head_path.string(),
                            template_mode_name(settings.template_mode), template_mode_name(*mode)),
                "leave --template out, or train the head with it");
  }
  const FeatureExtractor probe(backbone, settings, /*threads=*/1);
  check_head_matches(head, head_path, probe.dimension(), describe_features(probe, FeatureKind::Pairs, Dtype::F32, {}),
                     backbone.path().string(), allow_unbound);
  return settings;
}

}  // namespace coala
