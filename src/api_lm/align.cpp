#include "coala/align.h"

#include <fmt/format.h>

#include "api/estimates.h"
#include "api/fit_settings.h"
#include "api_lm/layer_settings.h"
#include "api_lm/state.h"
#include "coala/error.h"
#include "core/metric_json.h"
#include "data/data_files.h"
#include "report/verdict.h"

namespace coala::v1 {
namespace {

void check_range(const char* name, double value, double low, double high) {
  if (value >= low && value <= high) return;
  throw Error(ErrorCode::BadUsage, fmt::format("AlignSettings::{} is {}; expected {} to {}", name, value, low, high));
}

}  // namespace

Alignment align(const AlignSettings& settings, const Context& context) {
  check_range("eval_fraction", settings.eval_fraction, 0.01, 0.9);
  check_range("guidance_budget", settings.guidance_budget, 0.001, 10);
  if (settings.out.empty()) throw Error(ErrorCode::BadUsage, "AlignSettings::out is empty; expected a folder");
  AlignOptions options;
  options.model = model_file(settings.model);
  options.data.paths = find_data_files(settings.data);
  options.data.reader.skip_bad = settings.features.skip_bad;
  options.eval_data = find_data_files(settings.eval_data);
  options.out = settings.out;
  options.eval_fraction = settings.eval_fraction;
  options.features = internal_settings(settings.features);
  options.skip_bad = settings.features.skip_bad;
  options.token_rank = settings.token_rank;
  options.guidance_budget = settings.guidance_budget;
  options.fit = internal_settings(settings.fit);
  return align(options, context);
}

Alignment align(const AlignOptions& options, const Context& context) {
  const CallScope scope(context);
  ThreadPool pool(context.threads);
  const AlignResult result = coala::align(options, pool);
  const Verdict verdict = verdict_of(result.metrics);
  Alignment alignment;
  alignment.head = options.out / "head.safetensors";
  alignment.report = options.out / "report.html";
  alignment.metrics = options.out / "metrics.json";
  alignment.verdict = verdict.sentence;
  alignment.remarks = verdict.remarks;
  alignment.accuracy = estimate_of(result.metrics.evaluation.accuracy()).value();
  alignment.guides = result.metrics.token_head.has_value();
  alignment.up_to_date = result.up_to_date;
  alignment.json = metrics_json(result.metrics).dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return alignment;
}

}  // namespace coala::v1
