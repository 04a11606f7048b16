#include "train/token_evaluation.h"

#include <numeric>

#include "eval/intervals.h"

namespace coala {
namespace {

/// 1 for rows that the program gets right, strictly.
std::vector<double> right_rows(const FeatureSet& set, const TokenProgram& program, bool context_free) {
  std::vector<double> right;
  if (set.kind == FeatureKind::Pairs) {
    const std::vector<double> chosen = token_scores(set.token_sums_chosen, program, context_free);
    const std::vector<double> rejected = token_scores(set.token_sums_rejected, program, context_free);
    for (std::size_t i = 0; i < chosen.size(); ++i) right.push_back(chosen[i] > rejected[i] ? 1 : 0);
  } else {
    const std::vector<double> scores = token_scores(set.token_sums, program, context_free);
    for (std::size_t i = 0; i < scores.size(); ++i) right.push_back(scores[i] * set.labels[i] > 0 ? 1 : 0);
  }
  return right;
}

TokenProgramMetrics program_metrics(const TokenProgram& program) {
  return {program.info.status,          program.certificate.relative_gap, program.chosen.penalty,
          program.chosen.penalty_ratio, program.chosen.held_out_loss,     program.info.seconds};
}

}  // namespace

TokenHeadMetrics token_metrics(const TokenFit& fit, const FeatureSet& train, const FeatureSet* held_out) {
  const bool usable =
      held_out != nullptr && held_out->token_basis && held_out->token_basis->hash() == train.token_basis->hash();
  const auto accuracy = [&](const TokenProgram& program, bool context_free) -> Estimate {
    if (!usable) return {program.chosen.held_out_accuracy, kNoInterval};
    const std::vector<double> right = right_rows(*held_out, program, context_free);
    const double mean = std::accumulate(right.begin(), right.end(), 0.0) / static_cast<double>(right.size());
    return {mean, proportion_interval(right, held_out->prompt_id)};
  };
  TokenHeadMetrics metrics;
  metrics.program = program_metrics(fit.token);
  metrics.rank = fit.head.rank();
  metrics.reliability = fit.reliability;
  metrics.bias_does = fit.bias_does;
  metrics.bias_length = fit.token.bias_length;
  metrics.share_of_tokens = train.metadata_value("token.share");
  metrics.context_free = {program_metrics(fit.context_free), accuracy(fit.context_free, true)};
  metrics.accuracy = accuracy(fit.token, false);
  return metrics;
}

}  // namespace coala
