#include "tally/arena_hard.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/random.h"
#include "eval/intervals.h"
#include "eval/order_statistics.h"
#include "solver/loss.h"
#include "tally/annotations.h"
#include "tally/arena_battles.h"
#include "tally/legacy_random.h"
#include "tally/logistic_fit.h"
#include "tally/published_descent.h"

namespace coala {
namespace {

constexpr std::size_t kRounds = 100;     // of the published bootstraps
constexpr std::size_t kResamples = 400;  // of ours

double logit_of_mean(double mean) {
  constexpr double kLeast = 1e-12;  // a model that never wins has no finite rating
  const double p = std::clamp(mean, kLeast, 1 - kLeast);
  return std::log(p / (1 - p));
}

/// Means of each model's scores among the battles of some rows.
std::vector<double> means(const ArenaBattles& battles, std::span<const std::size_t> rows) {
  std::vector<double> sum(battles.models.size(), 0.0);
  std::vector<double> count(battles.models.size(), 0.0);
  for (const std::size_t row : rows) {
    sum[battles.model[row]] += battles.score[row];
    count[battles.model[row]] += 1;
  }
  for (std::size_t k = 0; k < sum.size(); ++k) sum[k] /= count[k];
  return sum;
}

/// Draws of some models' figures, one model after the other.
using Draws = std::vector<std::vector<double>>;

void keep(Draws& draws, std::span<const double> values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (!std::isnan(values[k])) draws[k].push_back(values[k]);
  }
}

/// Every battle is against the baseline, so the Bradley-Terry rating is the logit of the mean score.
void rate_v01(const ArenaBattles& battles, const ArenaSettings& settings, ArenaTable& table) {
  LegacyRandom random(settings.seed);
  Draws draws(battles.models.size());
  for (std::size_t round = 0; round < kRounds; ++round) {
    throw_if_interrupted();
    std::vector<double> ratings = means(battles, random.draws(battles.size(), battles.size()));
    for (double& rating : ratings) rating = std::isnan(rating) ? rating : logit_of_mean(rating);
    keep(draws, ratings);
  }
  for (std::size_t k = 0; k < draws.size(); ++k) {
    table.scores[k].score = table.scores[k].plain;
    table.scores[k].published = {sigmoid(quantile(draws[k], 0.025)), sigmoid(quantile(draws[k], 0.975))};
  }
}

/// Each model's battles drawn anew; the mean of the means is what is printed.
void rate_v20(const ArenaBattles& battles, const ArenaSettings& settings, ArenaTable& table) {
  LegacyRandom random(settings.seed);
  std::vector<std::vector<double>> scores(battles.models.size());
  for (std::size_t i = 0; i < battles.size(); ++i) scores[battles.model[i]].push_back(battles.score[i]);
  Draws draws(scores.size());
  for (std::size_t round = 0; round < kRounds; ++round) {
    throw_if_interrupted();
    for (std::size_t k = 0; k < scores.size(); ++k) {
      double sum = 0;
      for (const std::size_t drawn : random.draws(scores[k].size(), scores[k].size())) sum += scores[k][drawn];
      draws[k].push_back(sum / static_cast<double>(scores[k].size()));
    }
  }
  for (std::size_t k = 0; k < draws.size(); ++k) {
    table.scores[k].score = mean_with_error(draws[k]).mean;
    table.scores[k].published = {quantile(draws[k], 0.05), quantile(draws[k], 0.95)};
  }
}

/// Rows of the published fit with style: a column for each model, one for the baseline, then the features.
LogisticRows style_rows(const ArenaBattles& battles, const Matrix<double>& features) {
  const std::size_t models = battles.models.size();
  LogisticRows rows{Matrix<double>(battles.size(), models + 1 + features.cols()), battles.score,
                    std::vector<double>(battles.size(), 1.0)};
  for (std::size_t i = 0; i < battles.size(); ++i) {
    rows.x(i, battles.model[i]) = 1;
    rows.x(i, models) = -1;
    for (std::size_t j = 0; j < features.cols(); ++j) rows.x(i, models + 1 + j) = features(i, j);
  }
  return rows;
}

std::vector<double> counts_of(std::span<const std::size_t> rows, std::size_t n) {
  std::vector<double> counts(n, 0.0);
  for (const std::size_t row : rows) counts[row] += 1;
  return counts;
}

/// v0.1: ridge of 1 on coefficients that stand for ln(10) times themselves, each battle counted twice.
std::vector<double> ridge_fit(const LogisticRows& rows, std::span<const double> weights, std::size_t models) {
  LogisticRows scaled{rows.x, rows.targets, {}};
  for (const double weight : weights) scaled.weights.push_back(2 * weight);
  const double log10 = std::log(10.0);
  for (std::size_t i = 0; i < rows.x.rows(); ++i) {
    for (std::size_t j = 0; j <= models; ++j) scaled.x(i, j) *= log10;
  }
  std::vector<double> fitted = fit_logistic(scaled, 0, 1);
  for (std::size_t j = 0; j <= models; ++j) fitted[j] *= log10;
  return fitted;
}

/// v2.0: the published steps from 1/2 everywhere.
std::vector<double> descent_fit(const LogisticRows& rows, std::span<const double> weights) {
  const Objective loss = [&](std::span<const double> b, std::span<double> gradient) {
    std::ranges::fill(gradient, 0.0);
    double sum = 0;
    for (std::size_t i = 0; i < rows.x.rows(); ++i) {
      if (weights[i] == 0) continue;
      const double z = linear(rows.x.row(i), b);
      sum += weights[i] * (rows.targets[i] * softplus(-z) + (1 - rows.targets[i]) * softplus(z));
      const double residual = weights[i] * (sigmoid(z) - rows.targets[i]);
      for (std::size_t j = 0; j < gradient.size(); ++j) gradient[j] += residual * rows.x(i, j);
    }
    return sum;
  };
  return published_descent(loss, std::vector<double>(rows.x.cols(), 0.5));
}

/// Differences from the baseline's column, and the features' coefficients.
std::vector<double> ratings_of(std::span<const double> fitted, std::size_t models) {
  std::vector<double> ratings(fitted.begin(), fitted.begin() + static_cast<std::ptrdiff_t>(models));
  for (double& rating : ratings) rating -= fitted[models];
  return ratings;
}

void rate_with_style(const ArenaBattles& battles, const Matrix<double>& features, const ArenaSettings& settings,
                     ArenaTable& table) {
  const bool v01 = settings.version == ArenaVersion::V01;
  const std::size_t n = battles.size();
  const std::size_t models = battles.models.size();
  const LogisticRows rows = style_rows(battles, features);
  const auto fit = [&](std::span<const double> weights) {
    return v01 ? ridge_fit(rows, weights, models) : descent_fit(rows, weights);
  };
  LegacyRandom random(settings.seed);
  Draws draws(models);
  Draws styles(features.cols());
  for (std::size_t round = 0; round < kRounds; ++round) {
    throw_if_interrupted();
    const std::vector<double> fitted = fit(counts_of(random.draws(n, n), n));
    std::vector<double> ratings = ratings_of(fitted, models);
    // Percentiles lie between two draws: of ratings in v0.1, of win rates in v2.0.
    for (double& rating : ratings) rating = v01 ? rating : sigmoid(rating);
    keep(draws, ratings);
    keep(styles, std::span(fitted).subspan(models + 1));
  }
  const double low = v01 ? 0.025 : 0.05;
  for (std::size_t k = 0; k < models; ++k) {
    const Interval drawn{quantile(draws[k], low), quantile(draws[k], 1 - low)};
    table.scores[k].published = v01 ? Interval{sigmoid(drawn.low), sigmoid(drawn.high)} : drawn;
  }
  if (v01) {
    const std::vector<double> fitted = fit(rows.weights);
    const std::vector<double> ratings = ratings_of(fitted, models);
    for (std::size_t k = 0; k < models; ++k) table.scores[k].score = sigmoid(ratings[k]);
    table.style.assign(fitted.begin() + static_cast<std::ptrdiff_t>(models + 1), fitted.end());
  } else {
    for (std::size_t k = 0; k < models; ++k) table.scores[k].score = quantile(draws[k], 0.5);
    for (const std::vector<double>& style : styles) table.style.push_back(quantile(style, 0.5));
  }

  // Questions drawn anew, and the fit to its end. The baseline is at 0 then; a trace of a penalty is for models that
  // win every game of a draw.
  constexpr double kTrace = 1e-6;
  LogisticRows free{Matrix<double>(n, rows.x.cols() - 1), rows.targets, {}};
  for (std::size_t i = 0; i < n; ++i) {
    free.x(i, battles.model[i]) = 1;
    for (std::size_t j = 0; j < features.cols(); ++j) free.x(i, models + j) = features(i, j);
  }
  std::vector<std::vector<std::size_t>> by_question(battles.questions);
  for (std::size_t i = 0; i < n; ++i) by_question[static_cast<std::size_t>(battles.question[i])].push_back(i);
  Random ours(settings.seed);
  Draws clustered(models);
  for (std::size_t round = 0; round < kResamples; ++round) {
    throw_if_interrupted();
    free.weights.assign(n, 0.0);
    for (std::size_t draw = 0; draw < by_question.size(); ++draw) {
      for (const std::size_t row : by_question[ours.below(by_question.size())]) free.weights[row] += 1;
    }
    const std::vector<double> fitted = fit_logistic(free, 0, kTrace);
    keep(clustered, std::span(fitted).first(models));
  }
  for (std::size_t k = 0; k < models; ++k) {
    if (battles.questions < 2) {
      table.scores[k].clustered95 = kNoInterval;
      continue;
    }
    table.scores[k].clustered95 = {sigmoid(quantile(clustered[k], 0.025)), sigmoid(quantile(clustered[k], 0.975))};
  }
}

}  // namespace

ArenaTable arena_table(std::span<const ArenaJudgment> judgments, const StyleTable& styles,
                       const ArenaSettings& settings) {
  const ArenaBattles battles = arena_battles(judgments, settings.version);
  ArenaTable table;
  table.without_verdict = battles.without_verdict;
  const Draws by_model = [&] {
    Draws scores(battles.models.size());
    for (std::size_t i = 0; i < battles.size(); ++i) scores[battles.model[i]].push_back(battles.score[i]);
    return scores;
  }();
  for (std::size_t k = 0; k < battles.models.size(); ++k) {
    ArenaScore score;
    score.model = battles.models[k];
    score.battles = by_model[k].size();
    score.plain = mean_with_error(by_model[k]).mean;
    std::vector<std::int64_t> questions;
    for (std::size_t i = 0; i < battles.size(); ++i) {
      if (battles.model[i] == k) questions.push_back(battles.question[i]);
    }
    score.clustered95 = bootstrap_mean(by_model[k], questions, settings.seed);
    table.scores.push_back(std::move(score));
  }
  if (settings.control.any()) {
    rate_with_style(battles, style_features(battles, styles, settings), settings, table);
  } else if (settings.version == ArenaVersion::V01) {
    rate_v01(battles, settings, table);
  } else {
    rate_v20(battles, settings, table);
  }
  std::ranges::stable_sort(table.scores, std::ranges::greater{}, &ArenaScore::score);
  return table;
}

}  // namespace coala
