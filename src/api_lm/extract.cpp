#include "coala/extract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "api_lm/layer_settings.h"
#include "api_lm/state.h"
#include "coala/error.h"
#include "decode/head_model.h"
#include "eval/metrics.h"
#include "extract/extract_file.h"
#include "extract/feature_extractor.h"

namespace coala::v1 {
namespace {

ExtractOptions options_of(const coala::FeatureSettings& features, bool skip_bad, const Context& context) {
  ExtractOptions options;
  options.features = features;
  options.threads = threads_of(context);
  options.skip_bad = skip_bad;
  return options;
}

Extraction extraction_of(FeatureSet&& features, const ExtractTotals& totals, std::size_t records) {
  return {features_of(std::move(features)), records_with_features(records, totals.left_out), totals.counts.tokens,
          totals.counts.evaluated_tokens, totals.seconds};
}

Extraction to_memory(const Model& model, const Dataset& data, const ExtractOptions& options) {
  const RecordStore& store = data.state().store;
  MemoryExtraction made = extract_to_memory(model.state().backbone, store, options);
  return extraction_of(std::move(made.features), made.totals, store.size());
}

void check_responses(std::span<const std::string> responses) {
  if (responses.empty()) throw Error(ErrorCode::BadInput, "there are no responses; expected 1 or more");
  const auto empty = std::ranges::find(responses, "");
  if (empty == responses.end()) return;
  throw Error(ErrorCode::BadInput, fmt::format("response {} (counted from 1) is empty", empty - responses.begin() + 1));
}

}  // namespace

coala::FeatureSettings internal_settings(const FeatureSettings& settings) {
  coala::FeatureSettings result;
  result.pooling = settings.pooling;
  result.over = settings.over;
  result.max_length_tokens = settings.max_length_tokens;
  result.template_mode = settings.template_mode;
  return result;
}

Extraction extract(const Model& model, const Dataset& data, const FeatureSettings& settings, const Context& context) {
  return extract(model, data, internal_settings(settings), settings.skip_bad, context);
}

Extraction extract(const Model& model, const Dataset& data, const coala::FeatureSettings& settings, bool skip_bad,
                   const Context& context) {
  const CallScope scope(context);
  return to_memory(model, data, options_of(settings, skip_bad, context));
}

Extraction extract_to_file(const Model& model, const Dataset& data, const std::filesystem::path& out,
                           const FeatureSettings& settings, const Context& context) {
  return extract_to_file(model, data, out, internal_settings(settings), settings.skip_bad, context);
}

Extraction extract_to_file(const Model& model, const Dataset& data, const std::filesystem::path& out,
                           const coala::FeatureSettings& settings, bool skip_bad, const Context& context) {
  const CallScope scope(context);
  const RecordStore& store = data.state().store;
  const FileExtraction made = extract_file(model.state().backbone, store, out, options_of(settings, skip_bad, context));
  return extraction_of(load_features(out), made.totals, store.size());
}

Extraction extract_for(const Head& head, const Model& model, const Dataset& data, bool allow_unbound,
                       const Context& context) {
  const CallScope scope(context);
  const coala::FeatureSettings settings =
      settings_for_head(head.state().head, head.state().path, model.state().backbone, std::nullopt, allow_unbound);
  return to_memory(model, data, options_of(settings, /*skip_bad=*/false, context));
}

std::vector<double> score(const Model& model, const Head& head, const Prompt& prompt,
                          std::span<const std::string> responses, bool allow_unbound, const Context& context) {
  const CallScope scope(context);
  check_responses(responses);
  const Head::State& own = head.state();
  const Backbone& backbone = model.state().backbone;
  FeatureExtractor extractor(backbone, settings_for_head(own.head, own.path, backbone, std::nullopt, allow_unbound),
                             threads_of(context));
  FeatureCounts counts;
  const std::vector<std::string_view> texts(responses.begin(), responses.end());
  const std::vector<EncodedResponse> encoded = extractor.encode(prompt, texts, counts);
  std::vector<const EncodedResponse*> apart;
  for (const EncodedResponse& response : encoded) apart.push_back(&response);
  const Matrix<float> features = extractor.pool_apart(apart);
  std::vector<double> scores;
  for (std::size_t i = 0; i < features.rows(); ++i) {
    scores.push_back(own.head.score(features.row(i)));
    if (std::isfinite(scores.back())) continue;
    throw Error(ErrorCode::BadInput, fmt::format("the score of response {} (counted from 1) is not finite", i + 1));
  }
  return scores;
}

}  // namespace coala::v1
