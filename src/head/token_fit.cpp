#include "head/token_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/deadline.h"
#include "core/error.h"
#include "core/progress.h"
#include "features/feature_subset.h"
#include "head/linear_fit.h"
#include "head/selection.h"
#include "head/training_rows.h"
#include "linalg/blas.h"

namespace coala {
namespace {

/// Of the time limit, for the weights W: their program has all the columns, the other one the square root of them.
constexpr double kTokenShare = 0.8;

/// Where a program's numbers stand among a response's sums.
struct Columns {
  std::size_t first = 0;
  std::size_t count = 0;
};

Columns columns_of(std::size_t width, bool context_free) {
  // width = r r + r
  const auto r = static_cast<std::size_t>((std::sqrt(4.0 * static_cast<double>(width) + 1) - 1) / 2 + 0.5);
  return context_free ? Columns{r * r, r} : Columns{0, r * r};
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

/// One factor for all columns: the sums' own proportions carry what is common and what is rare, and scaled alike rare
/// directions would count as much as common ones. Rows get a mean square of the number of columns, as features of
/// variance 1 have, but of no more than those of rank 32: the path of penalties would begin too low for longer ones.
double common_scale(const FeatureSet& sums) {
  constexpr std::size_t kLongest = 1024;
  double squares = 0;
  std::vector<float> row(sums.dimension());
  std::vector<float> scratch(sums.dimension());
  for (std::size_t i = 0; i < sums.rows(); ++i) {
    read_row(sums, i, row, scratch);
    squares += dot(row, row);
  }
  const double mean = squares / static_cast<double>(sums.rows() * std::min(sums.dimension(), kLongest));
  if (!(mean > 0) || !std::isfinite(mean)) {
    throw Error(ErrorCode::BadInput, fmt::format("{}: the responses' tokens do not differ at all", sums.path),
                "a token head has nothing to learn from them; leave it out with --token-rank 0");
  }
  return 1 / std::sqrt(mean);
}

TokenProgram fit_program(const FeatureSet& set, const Columns& columns, const TokenFitSettings& settings,
                         const Deadline& deadline, ThreadPool& pool) {
  FeatureSet sums = sums_of(set, columns);
  const auto scale = static_cast<float>(common_scale(sums));
  FeatureTransform transform = FeatureTransform::identity(sums.dimension());
  transform.scale.assign(sums.dimension(), scale);
  const Loss loss = set.kind == FeatureKind::Pairs ? Loss::BradleyTerry : Loss::Logistic;
  const TrainingRows rows(sums, transform, loss, settings.folds, settings.seed);
  SelectionCost cost;
  // 16,384 columns at rank 128: no matrix of columns by columns is made, and with few rows their span is all there is.
  const std::optional<Look> look = first_look(sums, transform, rows, settings.folds, settings.seed, pool, cost);
  LinearFit fit = fit_linear(rows, look ? &*look : nullptr, settings.folds, settings.rule, deadline, pool, cost);
  TokenProgram program;
  program.path = std::move(fit.path);
  program.chosen = fit.selected.candidate;
  program.info = fit.info;
  const GatedWeights& weights = fit.weights;
  program.certificate = certify_linear(rows.design(), rows.targets(), weights.w.row(0), weights.bias, !rows.pairwise(),
                                       program.chosen.penalty);
  for (const float w : weights.w.row(0)) program.weights.push_back(static_cast<double>(w) * static_cast<double>(scale));
  program.bias = weights.bias;
  program.cut_short = cost.cut_short;
  program.flops = cost.flops + fit.info.flops;
  return program;
}

/// Scales weights so that q has the unit as its root mean square over the basis' sample of tokens; zero ones stay.
/// @param q_of  q of the sample's token i
template <class Q>
void normalise(std::span<float> weights, std::size_t tokens, const Q& q_of) {
  double squares = 0;
  for (std::size_t i = 0; i < tokens; ++i) squares += q_of(i) * q_of(i);
  if (!(squares > 0)) return;
  const double factor = kTokenUnit / std::sqrt(squares / static_cast<double>(tokens));
  for (float& w : weights) w = static_cast<float>(static_cast<double>(w) * factor);
}

}  // namespace

TokenFit fit_token_head(const FeatureSet& all_rows, const TokenFitSettings& settings, ThreadPool& pool) {
  if (!all_rows.token_basis) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no sums for a token head", all_rows.path),
                "extract the features with --token-rank 32");
  }
  const FeatureSet set = whole_rows(all_rows);
  const TokenBasis& basis = *set.token_basis;
  const std::size_t r = basis.rank();
  TokenFit fit;
  const Deadline deadline = settings.time_limit_s > 0 ? Deadline::after(settings.time_limit_s) : Deadline();
  const auto fit_part = [&](const char* name, bool context_free, const Deadline& own) {
    const ProgressPart part(name);
    return fit_program(set, columns_of(basis.width(), context_free), settings, own, pool);
  };
  fit.token = fit_part("token head", false, deadline.share(kTokenShare));
  fit.context_free = fit_part("token head without context", true, deadline);
  TokenHead& head = fit.head;
  head.states = basis.states;
  head.embeddings = basis.embeddings;
  head.weights = Matrix<float>(r, r);
  for (std::size_t k = 0; k < r * r; ++k) head.weights.values()[k] = static_cast<float>(fit.token.weights[k]);
  for (const double w : fit.context_free.weights) head.bias.push_back(static_cast<float>(w));
  const std::size_t tokens = basis.sample_states.rows();
  const auto product = [&basis, r](std::size_t i, const float* weights) {
    return dot(std::span(weights, r), basis.sample_residuals.row(i));
  };
  normalise(head.weights.values(), tokens, [&](std::size_t i) {
    double q = 0;
    for (std::size_t a = 0; a < r; ++a) {
      q += static_cast<double>(basis.sample_states(i, a)) * product(i, head.weights.row(a).data());
    }
    return q;
  });
  normalise(head.bias, tokens, [&](std::size_t i) { return product(i, head.bias.data()); });
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
