#include "cli/model_features.h"

#include <optional>

#include "core/error.h"
#ifdef COALA_HAVE_LM
#include "decode/head_model.h"
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

FeatureSettings check_model(const Head& head, const std::filesystem::path& head_path, const Backbone& backbone,
                            const ModelOptions& model, bool allow_unbound) {
  std::optional<TemplateMode> mode;
  if (!model.chat_template.empty()) mode = model.template_mode();
  return settings_for_head(head, head_path, backbone, mode, allow_unbound);
}

HeadFeatures features_for_head(const Head& head, const std::filesystem::path& head_path, const ModelInput& input,
                               int threads) {
  const std::shared_ptr<const RecordStore> store = read_records(input.data, /*unjudged=*/true);
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

std::vector<Labelled> given_answers(const std::optional<std::string>& prompt,
                                    const std::vector<std::string>& responses) {
  std::vector<Labelled> answers;
  for (const std::string& response : responses) {
    Labelled answer;
    answer.id = std::to_string(answers.size() + 1);
    if (prompt) answer.prompt.messages = {{"user", *prompt}};
    answer.response = response;
    answers.push_back(std::move(answer));
  }
  return answers;
}

std::shared_ptr<const RecordStore> read_records(const DataOptions& data, bool unjudged) {
  DataFiles files = data.files();
  files.reader.unjudged = unjudged;
  std::error_code ignored;
  return std::make_shared<const RecordStore>(files, std::filesystem::temp_directory_path(ignored));
}

}  // namespace coala
