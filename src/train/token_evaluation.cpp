#include "train/token_evaluation.h"

#include <nlohmann/json.hpp>
#include <numeric>

#include "eval/intervals.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

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

Json program_json(const TokenProgram& program) {
  return {{"status", status_name(program.info.status)},
          {"relative_gap", program.certificate.relative_gap},
          {"penalty", program.chosen.penalty},
          {"penalty_ratio", program.chosen.penalty_ratio},
          {"held_out_loss", program.chosen.held_out_loss},
          {"seconds", program.info.seconds}};
}

}  // namespace

Json token_metrics(const TokenFit& fit, const FeatureSet& train, const FeatureSet* held_out) {
  Json json = program_json(fit.token);
  json["rank"] = fit.head.rank();
  json["reliability"] = fit.reliability;
  json["bias_does"] = fit.bias_does;
  json["bias_length"] = fit.token.bias_length;
  json["share_of_tokens"] = train.metadata_value("token.share");
  json["context_free"] = program_json(fit.context_free);
  const bool usable =
      held_out != nullptr && held_out->token_basis && held_out->token_basis->hash() == train.token_basis->hash();
  if (!usable) {
    json["accuracy"] = fit.token.chosen.held_out_accuracy;
    json["context_free"]["accuracy"] = fit.context_free.chosen.held_out_accuracy;
    return json;
  }
  const auto add = [&](Json& to, const TokenProgram& program, bool context_free) {
    const std::vector<double> right = right_rows(*held_out, program, context_free);
    const Interval interval = proportion_interval(right, held_out->prompt_id);
    to["accuracy"] = std::accumulate(right.begin(), right.end(), 0.0) / static_cast<double>(right.size());
    to["accuracy_ci95"] = {interval.low, interval.high};
  };
  add(json, fit.token, false);
  add(json["context_free"], fit.context_free, true);
  return json;
}

}  // namespace coala
