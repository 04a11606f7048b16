#include "train/training_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "core/resources.h"
#include "core/version.h"
#include "eval/discrimination.h"
#include "eval/leaks.h"
#include "eval/metrics.h"
#include "features/feature_subset.h"
#include "train/fit_metrics.h"
#include "train/inputs.h"
#include "train/token_evaluation.h"

namespace coala {
namespace {

/// A number in [0, 1) that only the prompt and the seed decide, apart from the folds inside a fit.
double position_of(std::int64_t prompt, std::uint64_t seed) {
  return static_cast<double>(hash64("held-out " + std::to_string(prompt), seed) >> 11) * 0x1p-53;
}

Scores baseline_scores(const FitResult& fit, const FeatureSet& set) {
  return score_features(Head{fit.baseline_transform, fit.baseline, {}}, set);
}

void check_same_kind(const FeatureSet& train, const FeatureSet& held_out) {
  if (train.kind != held_out.kind) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("{} and {} are not of one kind: one holds pairs, the other labelled rows", train.path,
                            held_out.path),
                "evaluate on features of the kind that the head is trained on");
  }
}

/// Rows that training and evaluation share make the held-out numbers too good: said loudly.
void warn_of_leaks(const Leaks& leaks, std::size_t rows) {
  const auto warn = [rows](std::uint64_t count, const char* what) {
    if (count == 0) return;
    log_warning(fmt::format("{} of {} evaluation rows have {}: their numbers flatter the head", count, rows, what));
  };
  warn(leaks.shared_prompt_rows, "a prompt that is in the training data");
  warn(leaks.identical_rows, "a response with the features of a training response");
  warn(leaks.near_duplicate_rows, "a response that is nearly a training response");
}

/// What the time limit kept the fit from.
void warn_of_time_limit(const FitResult& fit, double limit_s) {
  if (fit.selection_cut_short) {
    log_warning(
        fmt::format("the time limit of {:g} s ended the selection after {} penalties: the best of them is taken",
                    limit_s, fit.path.size()));
  }
  if (fit.phase_one.status == SolveStatus::TimeLimit) {
    const std::string quality = fit.certificate
                                    ? fmt::format(" at a relative duality gap of {:.1e}", fit.certificate->relative_gap)
                                    : fmt::format(" after {} iterations", fit.phase_one.iterations);
    log_warning(fmt::format("the time limit of {:g} s ended the final fit{}", limit_s, quality));
  }
  if (fit.phase_two.status == SolveStatus::TimeLimit) {
    log_warning(fmt::format("the time limit of {:g} s {}", limit_s,
                            fit.phase_two.iterations > 0
                                ? fmt::format("ended Phase II after {} steps", fit.phase_two.iterations)
                                : "left none for Phase II: the second layer is that of Phase I"));
  }
}

/// One label is so frequent that an accuracy alone says little.
void warn_of_imbalance(const FeatureSet& set) {
  constexpr double kFrequent = 0.8;
  if (set.kind != FeatureKind::Labelled || !has_both_labels(set.labels)) return;
  const double share = majority_share(set.labels);
  if (share <= kFrequent) return;
  log_warning(
      fmt::format("{:.1f} % of the training rows have the same label: whoever always gives it is right as often; "
                  "look at the balanced accuracy and at the area under the ROC curve",
                  100 * share));
}

void append(std::vector<double>& to, const std::vector<double>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

void append(Scores& to, const Scores& from) {
  append(to.chosen, from.chosen);
  append(to.rejected, from.rejected);
  append(to.single, from.single);
}

/// Rows of whole responses, which a head is judged on, and their places in their file.
struct JudgedRows {
  FeatureSet set;
  std::vector<std::size_t> record;
};

JudgedRows judged_rows(const FeatureSet& set, std::vector<std::size_t> rows) {
  std::erase_if(rows, [&set](std::size_t row) { return !is_whole(set, row); });
  const std::vector<std::size_t> numbers = record_numbers(set);
  JudgedRows judged{subset(set, rows), {}};
  for (const std::size_t row : rows) judged.record.push_back(numbers[row]);
  return judged;
}

std::vector<std::size_t> all_rows(const FeatureSet& set) {
  std::vector<std::size_t> rows(set.rows());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  return rows;
}

/// Metrics of rows that the head has not seen, and what it said of each.
struct Evaluation {
  EvaluationMetrics metrics;
  EvaluatedRows rows;
};

std::size_t count_different(const std::vector<std::int64_t>& values) {
  return std::set<std::int64_t>(values.begin(), values.end()).size();
}

/// @param leaks     of these rows
/// @param held_out  how they were
Evaluation evaluate(const JudgedRows& rows, const Scores& scores, const BaselineScores& baseline, const Leaks& leaks,
                    std::string held_out, std::uint64_t seed) {
  Evaluation evaluation{evaluation_metrics(rows.set, scores, baseline, seed),
                        evaluated_rows(rows.set, scores, rows.record)};
  warn_of_leaks(leaks, rows.set.rows());
  evaluation.metrics.leaks = leaks;
  evaluation.metrics.held_out = std::move(held_out);
  evaluation.metrics.prompts = count_different(rows.set.prompt_id);
  return evaluation;
}

/// Rows of a set that are trained on, and those of the prompts that are held out.
struct HeldOutSplit {
  std::vector<std::size_t> in, out;
};

/// By a hash of each prompt, so that it stays put when data are added. Of few prompts the hash may hold out none, or
/// all: then the first by it is held out, or the last trained on.
HeldOutSplit split_by_prompt(const FeatureSet& set, double fraction, std::uint64_t seed) {
  const std::set<std::int64_t> prompts(set.prompt_id.begin(), set.prompt_id.end());
  if (prompts.size() < 2) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} has too few prompts: one, where some are trained on and others held out", set.path),
                "add data, or name a set of its own to evaluate on");
  }
  const auto position = [seed](std::int64_t prompt) { return position_of(prompt, seed); };
  const auto [first, last] = std::ranges::minmax_element(prompts, {}, position);
  HeldOutSplit split;
  for (std::size_t i = 0; i < set.rows(); ++i) {
    const std::int64_t prompt = set.prompt_id[i];
    const bool is_out = prompt == *first || (prompt != *last && position(prompt) < fraction);
    (is_out ? split.out : split.in).push_back(i);
  }
  return split;
}

Evaluation cross_validate(const FeatureSet& set, int folds, const FitSettings& settings, ThreadPool& pool,
                          Backend* backend) {
  Scores scores;
  BaselineScores baseline;
  std::vector<std::size_t> order;
  Leaks leaks;
  for (int fold = 0; fold < folds; ++fold) {
    const ProgressPart part(fmt::format("fold {} of {}", fold + 1, folds));
    std::vector<std::size_t> in;
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < set.rows(); ++i) {
      const int own = static_cast<int>(position_of(set.prompt_id[i], settings.seed) * folds);
      (own == fold ? out : in).push_back(i);
    }
    if (out.empty()) continue;
    if (in.empty()) {
      throw Error(ErrorCode::BadInput, fmt::format("{} has too few prompts for {} folds", set.path, folds),
                  "use fewer folds");
    }
    std::erase_if(out, [&set](std::size_t row) { return !is_whole(set, row); });
    const FeatureSet held_out = subset(set, out);
    const FeatureSet fitted = subset(set, in);
    leaks += find_leaks(fitted, held_out);
    const FitResult fit = fit_head(fitted, settings, pool, backend);
    append(scores, score_features(Head{fit.transform, fit.network, {}}, held_out));
    append(baseline.logistic, baseline_scores(fit, held_out));
    order.insert(order.end(), out.begin(), out.end());
    log_line(fmt::format("cross-validation: fold {} of {} done", fold + 1, folds));
  }
  return evaluate(judged_rows(set, order), scores, baseline, leaks,
                  fmt::format("{}-fold cross-validation by prompt", folds), settings.seed);
}

// Metadata of a head whose training left prompts of its feature file out.
constexpr const char* kHeldOutFraction = "held_out.fraction";
constexpr const char* kHeldOutSeed = "held_out.seed";

}  // namespace

TrainedRows rows_trained_on(const Head& head, const FeatureSet& features) {
  const std::string trained_on = head.value("features.fingerprint");
  if (const std::string own = features.metadata_value("fingerprint"); own != trained_on) {
    throw Error(ErrorCode::Mismatch,
                fmt::format("the head was trained on the features {}, and {} are {}",
                            trained_on.empty() ? "of an unknown file" : trained_on, features.path,
                            own.empty() ? "without a fingerprint" : own),
                "name the very file that it was trained on");
  }
  const std::string fraction = head.value(kHeldOutFraction);
  if (fraction.empty()) return {features, all_rows(features)};
  std::vector<std::size_t> rows = split_by_prompt(features, std::strtod(fraction.c_str(), nullptr),
                                                  std::strtoull(head.value(kHeldOutSeed).c_str(), nullptr, 10))
                                      .in;
  FeatureSet set = subset(features, rows);
  return {std::move(set), std::move(rows)};
}

void check_training(const FeatureSet& train, const EvaluationPlan& plan, const FitSettings& settings, int seeds) {
  if (plan.held_out) check_same_kind(train, *plan.held_out);
  for (int k = 0; k < seeds; ++k) {
    FitSettings own = settings;
    own.seed += static_cast<std::uint64_t>(k);
    const bool splits = !plan.held_out && plan.folds < 2;
    check_fit(splits ? subset(train, split_by_prompt(train, plan.fraction, own.seed).in) : train, own);
  }
}

TrainingRun train_and_evaluate(FeatureSet train, EvaluationPlan plan, const FitSettings& settings, ThreadPool& pool,
                               Backend* backend) {
  const double start_s = monotonic_s();
  Evaluation evaluation;
  std::optional<JudgedRows> judged;
  std::string how = "held-out set";
  InputMetrics inputs = input_metrics(train, plan.held_out ? &*plan.held_out : nullptr);
  if (plan.held_out) {
    check_same_kind(train, *plan.held_out);
    judged = judged_rows(*plan.held_out, all_rows(*plan.held_out));
  } else if (plan.folds >= 2) {
    evaluation = cross_validate(train, plan.folds, settings, pool, backend);
  } else {
    HeldOutSplit split = split_by_prompt(train, plan.fraction, settings.seed);
    judged = judged_rows(train, std::move(split.out));
    train = subset(train, split.in);
    how = fmt::format("{:.0f} % of the prompts held out", 100 * plan.fraction);
  }

  warn_of_imbalance(train);
  TrainingRun run;
  run.fit = fit_head(train, settings, pool, backend);
  warn_of_time_limit(run.fit, settings.time_limit_s);
  run.head = make_head(run.fit, train);
  if (!plan.held_out && plan.folds < 2) {
    run.head.metadata[kHeldOutFraction] = fmt::format("{:.17g}", plan.fraction);
    run.head.metadata[kHeldOutSeed] = std::to_string(settings.seed);
  }
  if (judged) {
    const FeatureSet& set = judged->set;
    check_head_matches(run.head, "the head", set.dimension(), set.metadata, set.path, /*allow_unbound=*/true);
    const BaselineScores baseline{baseline_scores(run.fit, set)};
    evaluation = evaluate(*judged, score_features(run.head, set), baseline, find_leaks(train, set), how, settings.seed);
  }
  RunMetrics& metrics = run.metrics;
  metrics.evaluation = std::move(evaluation.metrics);
  run.evaluated = std::move(evaluation.rows);
  const FeatureSet whole_train = whole_rows(train);
  metrics.trained = training_metrics(whole_train, score_features(run.head, whole_train));
  metrics.inputs = std::move(inputs);
  double token_flops = 0;
  if (plan.token_head) {
    TokenFitSettings token;
    token.folds = settings.folds;
    token.seed = settings.seed;
    token.time_limit_s = settings.time_limit_s;
    const double token_start_s = monotonic_s();
    TokenFit fit = fit_token_head(train, token, pool);
    const double token_s = monotonic_s() - token_start_s;
    if (fit.token.cut_short || fit.context_free.cut_short) {
      log_warning(
          fmt::format("the time limit of {:g} s ended the selection of the token head's penalty: the best of "
                      "{} and {} penalties is taken",
                      settings.time_limit_s, fit.token.path.size(), fit.context_free.path.size()));
    }
    metrics.token_head = token_metrics(fit, train, judged ? &judged->set : nullptr);
    metrics.token_head->selection_seconds = token_s - fit.token.info.seconds - fit.context_free.info.seconds;
    token_flops = fit.token.flops + fit.context_free.flops;
    run.head.token = std::move(fit.head);
  }
  metrics.train_rows = train.rows();
  metrics.train_prompts = count_different(train.prompt_id);
  metrics.dimension = train.dimension();
  metrics.solver = solver_metrics(run.fit);
  metrics.phase_two = phase_two_metrics(run.fit);
  if (run.fit.relu_form) metrics.relu_form = relu_form_metrics(run.fit);
  const double phase_one = run.fit.phase_one.flops + run.fit.selection_flops;
  const double phase_two = run.fit.phase_two.flops;
  metrics.flops = {phase_one, phase_two, token_flops, phase_one + phase_two + token_flops, {}, {}};
  metrics.seconds = monotonic_s() - start_s;
  metrics.peak_rss_bytes = peak_rss_bytes();
  metrics.settings = settings;
  metrics.seed = settings.seed;
  metrics.version = kVersion;
  return run;
}

}  // namespace coala
