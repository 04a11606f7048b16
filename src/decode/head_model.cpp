#include "decode/head_model.h"

#include <fmt/format.h>

#include "core/error.h"
#include "extract/provenance.h"

namespace coala {

FeatureSettings settings_for_head(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                                  std::optional<TemplateMode> mode, bool allow_unbound) {
  const FeatureSettings settings = settings_of(head.metadata);
  if (mode && *mode != settings.template_mode) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} was trained with --template {}, and --template {} is given", head_path.string(),
                            template_mode_name(settings.template_mode), template_mode_name(*mode)),
                "leave --template out, or train the head with it");
  }
  // Of another model the head's settings may not even be possible.
  if (head.bound() && head.value("backbone.hash") != backbone.identity().hash) {
    check_head_matches(head, head_path, head.dimension(), describe_backbone(backbone.identity()),
                       backbone.path().string(), allow_unbound);
  }
  const FeatureExtractor probe(backbone, settings, /*threads=*/1);
  check_head_matches(head, head_path, probe.dimension(), describe_features(probe, FeatureKind::Pairs, Dtype::F32, {}),
                     backbone.path().string(), allow_unbound);
  return settings;
}

}  // namespace coala
