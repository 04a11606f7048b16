#include "coala/model.h"

#include "api_lm/state.h"

namespace coala::v1 {

ModelFile model_file(const ModelSource& source) {
  ModelFile file(source.path, source.lora, source.lora_scale);
  file.chat_template = source.chat_template;
  file.device = {.device = source.device, .layers = source.device_layers};
  return file;
}

int threads_of(const Context& context) {
  return context.threads > 0 ? context.threads : usable_cores();
}

Model::Model(const ModelSource& source, const Context& context) {
  const CallScope scope(context);
  auto state = std::make_shared<State>(model_file(source));
  const BackboneIdentity& identity = state->backbone.identity();
  state->info = {.name = identity.name,
                 .architecture = identity.architecture,
                 .quantization = identity.quantization,
                 .hash = identity.hash,
                 .dimension = identity.dimension,
                 .layers = identity.layers,
                 .vocabulary = identity.vocabulary,
                 .context_tokens = identity.context_tokens,
                 .parameters = identity.parameters,
                 .encoder = identity.encoder};
  state_ = std::move(state);
}

const ModelInfo& Model::info() const {
  return state_->info;
}

std::vector<std::string> Model::warnings(TemplateMode mode) const {
  return state_->backbone.warnings(mode);
}

}  // namespace coala::v1
