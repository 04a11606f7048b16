#include "head/token_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "core/deadline.h"
#include "core/error.h"
#include "core/progress.h"
#include "features/feature_subset.h"
#include "head/held_out.h"
#include "head/linear_fit.h"
#include "head/selection_cost.h"
#include "head/token_weights.h"
#include "head/training_rows.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"

namespace coala {
namespace {

/// Of the time limit, for the head with its context: that program has all the columns, the other one their square root.
constexpr double kTokenShare = 0.8;

/// Rows of a program have no more than so many columns' worth of length: see scales_of().
constexpr std::size_t kLongest = 1024;

/// Where a program's numbers stand among a response's sums.
struct Columns {
  std::size_t first = 0;
  std::size_t count = 0;
};

std::size_t rank_of(std::size_t width) {  // width = r r + r
  return static_cast<std::size_t>((std::sqrt(4.0 * static_cast<double>(width) + 1) - 1) / 2 + 0.5);
}

Columns columns_of(std::size_t width, bool context_free) {
  const std::size_t r = rank_of(width);
  return context_free ? Columns{r * r, r} : Columns{0, width};
}

/// The sums as features of their own.
FeatureSet sums_of(const FeatureSet& set, const Columns& columns) {
  FeatureSet sums = set;
  const auto take = [&columns](const StoredRows& rows) { return rows.columns(columns.first, columns.count); };
  if (set.kind == FeatureKind::Pairs) {
    sums.chosen = take(set.token_sums_chosen);
    sums.rejected = take(set.token_sums_rejected);
  } else {
    sums.features = take(set.token_sums);
  }
  return sums;
}

/// What the loss sees of row i: a response's sums, or the difference of a pair's.
void read_row(const FeatureSet& sums, std::size_t i, std::span<float> row, std::span<float> scratch) {
  if (sums.kind != FeatureKind::Pairs) {
    sums.features.read(i, 0, row);
    return;
  }
  sums.chosen.read(i, 0, row);
  sums.rejected.read(i, 0, scratch);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] -= scratch[j];
}

/// Root mean squares of what the loss sees of a row, of either kind of sums.
struct RowLengths {
  double in_context = 0;
  double bias = 0;
};

RowLengths row_lengths(const FeatureSet& set) {
  const FeatureSet sums = sums_of(set, columns_of(set.token_basis->width(), /*context_free=*/false));
  const std::size_t r = set.token_basis->rank();
  double in_context = 0;
  double bias = 0;
  std::vector<float> row(sums.dimension());
  std::vector<float> scratch(sums.dimension());
  for (std::size_t i = 0; i < sums.rows(); ++i) {
    read_row(sums, i, row, scratch);
    const std::span<const float> all(row);
    in_context += dot(all.first(r * r), all.first(r * r));
    bias += dot(all.last(r), all.last(r));
  }
  const auto n = static_cast<double>(sums.rows());
  if (!(in_context + bias > 0) || !std::isfinite(in_context + bias)) {
    throw Error(ErrorCode::BadInput, fmt::format("{}: the responses' tokens do not differ at all", set.path),
                "a token head has nothing to learn from them; leave it out with --token-rank 0");
  }
  return {std::sqrt(in_context / n), std::sqrt(bias / n)};
}

/// The columns' scales, one for all columns of a kind: the sums' own proportions carry what is common and what is rare,
/// and scaled alike rare directions would count as much as common ones. Rows get a mean square of the number of
/// columns, as features of variance 1 have, but of no more than those of rank 32: the path of penalties would begin too
/// low for longer ones.
/// @param bias_length  of the sums of tokens alone, over the others
std::vector<float> scales_of(const RowLengths& rows, std::size_t r, bool context_free, double bias_length) {
  const auto scale = [](double wanted, double found) { return static_cast<float>(found > 0 ? wanted / found : 0); };
  if (context_free) return std::vector<float>(r, scale(std::sqrt(static_cast<double>(r)), rows.bias));
  const double length = std::sqrt(static_cast<double>(std::min(r * r, kLongest)));
  std::vector<float> scales(r * r, scale(length, rows.in_context));
  scales.resize(r * r + r, scale(bias_length * length, rows.bias));
  return scales;
}

/// A program, and what its folds said of the rows that they had not seen.
struct FittedProgram {
  TokenProgram program;
  HeldOut held_out;
  std::unique_ptr<TrainingRows> rows;
};

std::vector<double> unscaled(std::span<const float> weights, std::span<const float> scales) {
  std::vector<double> result;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    result.push_back(static_cast<double>(weights[j]) * static_cast<double>(scales[j]));
  }
  return result;
}

FittedProgram fit_program(const FeatureSet& set, const RowLengths& lengths, bool context_free, double bias_length,
                          const TokenFitSettings& settings, const Deadline& deadline, ThreadPool& pool) {
  FeatureSet sums = sums_of(set, columns_of(set.token_basis->width(), context_free));
  FeatureTransform transform = FeatureTransform::identity(sums.dimension());
  transform.scale = scales_of(lengths, set.token_basis->rank(), context_free, bias_length);
  const Loss loss = set.kind == FeatureKind::Pairs ? Loss::BradleyTerry : Loss::Logistic;
  FittedProgram fitted;
  fitted.rows = std::make_unique<TrainingRows>(sums, transform, loss, settings.folds, settings.seed);
  const TrainingRows& rows = *fitted.rows;
  SelectionCost cost;
  // 16,512 columns at rank 128: no matrix of columns by columns is made, and with few rows their span is all there is.
  const std::optional<Look> look = first_look(sums, transform, rows, settings.folds, settings.seed, pool, cost);
  LinearFit fit = fit_linear(rows, look ? &*look : nullptr, settings.folds, settings.rule, deadline, pool, cost);
  TokenProgram& program = fitted.program;
  program.path = std::move(fit.path);
  program.chosen = fit.selected.candidate;
  program.info = fit.info;
  const GatedWeights& weights = fit.weights;
  program.certificate = certify_linear(rows.design(), rows.targets(), weights.w.row(0), weights.bias, !rows.pairwise(),
                                       program.chosen.penalty);
  program.weights = unscaled(weights.w.row(0), transform.scale);
  program.bias = weights.bias;
  program.bias_length = bias_length;
  program.cut_short = cost.cut_short;
  program.flops = cost.flops + fit.info.flops;
  fitted.held_out = std::move(fit.selected);
  return fitted;
}

/// By the rows that the program's folds had not seen. Of labelled rows both labels count alike.
double held_out_reliability(const FittedProgram& fitted, const FeatureSet& set) {
  const TrainingRows& rows = *fitted.rows;
  double right[2] = {};
  double all[2] = {};
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const bool good = rows.pairwise() || rows.targets().labels[i] > 0;
    const double margin = good ? fitted.held_out.predictions[i] : -fitted.held_out.predictions[i];
    all[good] += 1;
    right[good] += margin > 0 ? 1 : margin < 0 ? 0 : 0.5;
  }
  double accuracy = 0;
  double kinds = 0;
  for (const int kind : {0, 1}) {
    if (all[kind] == 0) continue;
    accuracy += right[kind] / all[kind];
    ++kinds;
  }
  const std::set<std::int64_t> prompts(set.prompt_id.begin(), set.prompt_id.end());
  return reliability_of(accuracy / kinds, prompts.size());
}

}  // namespace

TokenFit fit_token_head(const FeatureSet& all_rows, const TokenFitSettings& settings, ThreadPool& pool) {
  if (!all_rows.token_basis) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no sums for a token head", all_rows.path),
                "extract the features with --token-rank 32");
  }
  const FeatureSet set = whole_rows(all_rows);
  const TokenBasis& basis = *set.token_basis;
  const Deadline deadline = settings.time_limit_s > 0 ? Deadline::after(settings.time_limit_s) : Deadline();
  const RowLengths lengths = row_lengths(set);
  std::optional<FittedProgram> best;
  {
    const ProgressPart part("token head");
    const Deadline own = deadline.share(kTokenShare);
    for (const double bias_length : kBiasLengths) {
      FittedProgram next = fit_program(set, lengths, false, bias_length, settings, own, pool);
      const bool better = !best || next.program.chosen.held_out_loss < best->program.chosen.held_out_loss;
      const double flops = next.program.flops + (best ? best->program.flops : 0);
      if (better) best = std::move(next);
      best->program.flops = flops;
    }
  }
  const ProgressPart part("token head without context");
  FittedProgram alone = fit_program(set, lengths, true, 1, settings, deadline, pool);
  TokenFit fit;
  fit.reliability = held_out_reliability(*best, set);
  fit.bias_does = best->program.chosen.held_out_loss >= alone.program.chosen.held_out_loss;
  if (is_better(alone.held_out, best->held_out, *best->rows, kClearly)) {
    fit.reliability = held_out_reliability(alone, set);
    std::ranges::fill(best->program.weights, 0.0);
    std::ranges::copy(alone.program.weights, best->program.weights.end() - static_cast<std::ptrdiff_t>(basis.rank()));
    best->program.chosen = alone.program.chosen;
    best->program.certificate = alone.program.certificate;
    best->program.bias = alone.program.bias;
  }
  TokenHead& head = fit.head;
  head.states = basis.states;
  head.embeddings = basis.embeddings;
  head.weights = head_weights(basis, best->program.weights, kTokenUnit);
  const double strength = sample_strength(basis, alone.program.weights);
  const double unit = strength > 0 ? kTokenUnit / strength : 1;
  for (const double w : alone.program.weights) head.bias.push_back(static_cast<float>(unit * w));
  fit.token = std::move(best->program);
  fit.context_free = std::move(alone.program);
  return fit;
}

std::vector<double> token_scores(const StoredRows& sums, const TokenProgram& program, bool context_free) {
  const Columns columns = columns_of(sums.cols(), context_free);
  std::vector<double> scores;
  std::vector<double> row(columns.count);
  for (std::size_t i = 0; i < sums.rows(); ++i) {
    sums.read(i, columns.first, std::span(row));
    double score = program.bias;
    for (std::size_t j = 0; j < row.size(); ++j) score += row[j] * program.weights[j];
    scores.push_back(score);
  }
  return scores;
}

}  // namespace coala
