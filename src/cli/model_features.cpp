#include "cli/model_features.h"

#include "core/error.h"

namespace coala {

void add_model_input_options(CLI::App& command, ModelInput& input, bool required) {
  command.add_option("--model", input.model, "model (GGUF)")->required(required);
  command.add_option("--data", input.data, "preference data, any shape that `coala prepare` reads")->required(required);
}

#ifndef COALA_HAVE_LM
FeatureSet features_for_head(const Head&, const std::filesystem::path&, const ModelInput&, bool, int) {
  throw Error(ErrorCode::NotBuilt, "this build has no language-model part", "build with -DCOALA_LM=ON");
}
#endif

}  // namespace coala
