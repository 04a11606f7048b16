#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/model_features.h"
#include "terminal/path_kinds.h"
#ifdef COALA_HAVE_LM
#include "cli/eval_generate.h"
#endif
#include "core/error.h"
#include "core/metric_json.h"
#include "core/progress.h"
#include "core/resources.h"
#include "eval/answer_metrics.h"
#include "eval/generated_summary.h"
#include "eval/head_comparison.h"
#include "eval/metrics.h"
#include "features/feature_subset.h"
#include "train/summary.h"

namespace coala {
namespace {

struct EvalOptions {
  CommonOptions common;
  std::string head;
  std::vector<std::string> compare;  ///< two heads
  std::string features;
  ModelInput input;
#ifdef COALA_HAVE_LM
  GeneratedEvalOptions generated;
#endif
};

/// The rows as a head needs them, checked against it.
HeadFeatures rows_for(const Head& head, const std::string& path, const EvalOptions& options) {
  HeadFeatures rows;
  if (options.features.empty()) {
    rows = features_for_head(head, path, options.input, chosen_threads(options.common));
  } else {
    rows.features = whole_rows(load_features(options.features));
  }
  const FeatureSet& set = rows.features;
  check_head_matches(head, path, set.dimension(), set.metadata, set.path, options.input.allow_unbound);
  return rows;
}

/// Rows that the head was trained on flatter it.
bool warn_of_training_data(const Head& head, const std::string& path, const FeatureSet& set) {
  const std::string fingerprint = set.metadata_value("fingerprint");
  if (fingerprint.empty() || fingerprint != head.value("features.fingerprint")) return false;
  log_warning(fmt::format("{} was trained on {}: these numbers flatter it", path, set.path));
  return true;
}

template <IsMetrics Metrics>
void print(const Metrics& metrics, const std::string& text, bool as_json) {
  if (as_json) {
    print_json(metrics_json(metrics));
  } else {
    print_out("{}", text);
  }
}

void compare(const EvalOptions& options) {
  const Head first = load_head(options.compare[0]);
  const Head second = load_head(options.compare[1]);
  const HeadFeatures rows = rows_for(first, options.compare[0], options);
  const HeadFeatures other_rows = rows_for(second, options.compare[1], options);
  if (rows.features.kind != other_rows.features.kind || rows.features.prompt_id != other_rows.features.prompt_id ||
      rows.ids != other_rows.ids) {
    throw Error(ErrorCode::Mismatch, "the two heads do not see the same rows of the data",
                "compare heads whose maximum lengths leave the same rows");
  }
  warn_of_training_data(first, options.compare[0], rows.features);
  warn_of_training_data(second, options.compare[1], other_rows.features);
  const Scores scores = score_features(first, rows.features);
  const Scores other_scores = score_features(second, other_rows.features);
  if (are_unjudged(rows.features)) {
    const AgreementMetrics metrics = agreement_metrics(rows.features, scores, other_scores, rows.ids);
    print(metrics, agreement_summary(metrics), options.common.json);
  } else {
    const HeadComparison result = compare_heads(rows.features, scores, other_scores, rows.ids, options.common.seed);
    print(result, comparison_summary(result), options.common.json);
  }
}

void evaluate(const EvalOptions& options) {
  const Head head = load_head(options.head);
  const FeatureSet set = rows_for(head, options.head, options).features;
  const bool trained_on = warn_of_training_data(head, options.head, set);
  const Scores scores = score_features(head, set);
  if (are_unjudged(set)) {
    const AnswerMetrics metrics = answer_metrics(set, scores, options.common.seed);
    print(metrics, answer_summary(metrics), options.common.json);
    return;
  }
  EvaluationRun run{evaluation_metrics(set, scores, {}, options.common.seed), peak_rss_bytes()};
  run.evaluation.held_out = fmt::format("all rows of {}", set.path);
  run.evaluation.trained_on = trained_on;
  print(run, summary(run.evaluation), options.common.json);
}

void run_eval(EvalOptions& options, [[maybe_unused]] const CLI::App& command) {
  set_quiet(options.common.quiet);
#ifdef COALA_HAVE_LM
  if (options.generated.generate) {
    const GeneratedMetrics result =
        evaluate_generated(options.generated, options.head, options.input, options.common, command);
    print(result, generated_summary(result), options.common.json);
    return;
  }
#endif
  if (options.head.empty() == options.compare.empty()) {
    throw Error(ErrorCode::BadUsage, "name either a head or two heads to compare", "use --head H, or --compare A B");
  }
  const bool from_model = !options.input.model.model.empty() && !options.input.data.names.empty();
  const bool from_features = !options.features.empty();
  if (from_model == from_features) {
    throw Error(ErrorCode::BadUsage, "name either a feature file or a model and data",
                "use --features G, or --model M --data D");
  }
  if (options.compare.empty()) {
    evaluate(options);
  } else {
    compare(options);
  }
}

}  // namespace

void add_eval_command(CLI::App& app) {
  auto options = std::make_shared<EvalOptions>();
  CLI::App& command =
      *app.add_subcommand("eval", "evaluate a reward head, or compare two, on features or on a model and data");
  command.add_option("--head", options->head, "head file")->type_name(kInput);
  command.add_option("--compare", options->compare, "two head files: which is right where the other is not")
      ->type_name(kInput)
      ->expected(2);
  command.add_option("--features", options->features, "feature file to evaluate on, or a folder of them")
      ->type_name(kInput);
  add_model_input_options(command, options->input, /*model_required=*/false, /*data_required=*/false);
#ifdef COALA_HAVE_LM
  add_generated_eval_options(command, options->generated);
#endif
  add_common_options(command, options->common);
  command.callback([options, &command] { run_eval(*options, command); });
}

}  // namespace coala
