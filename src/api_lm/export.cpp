#include "coala/export.h"

#include "api_lm/state.h"
#include "decode/export_head.h"
#include "decode/head_model.h"

namespace coala::v1 {

Exported export_guidance(const Model& model, const Head& head, const std::filesystem::path& out,
                         const ExportSettings& settings, const Context& context) {
  const CallScope scope(context);
  const Head::State& own = head.state();
  const Backbone& backbone = model.state().backbone;
  settings_for_head(own.head, own.path, backbone, std::nullopt, settings.allow_unbound);
  ExportedHead made =
      export_head(own.head, own.path, backbone, {settings.format, settings.quantised, settings.scale, settings.name},
                  out, threads_of(context));
  Exported exported{made.adapter, std::move(made.name), made.rank, made.bytes, {}, {}};
  if (made.loss) {
    exported.divergence = made.loss->divergence;
    exported.same_tokens = made.loss->same_tokens;
  }
  return exported;
}

}  // namespace coala::v1
