#include "tally/length_controlled.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/random.h"
#include "eval/order_statistics.h"
#include "solver/loss.h"
#include "tally/logistic_fit.h"

namespace coala {
namespace {

// As published (alpaca_eval/metrics/glm_winrate.py): what the gamed rows weigh, the folds and the grid of penalties.
constexpr double kGamedWeight = 0.2 / 2;
constexpr std::size_t kFolds = 5;
constexpr std::size_t kPenalties = 10;  // 1e-4 to 1e4, evenly in the logarithm
constexpr double kLeastProbability = 1e-15;

struct Design {
  LogisticRows train;      ///< gamed rows first; columns: length, difficulty (where known), the model's own
  Matrix<double> at_zero;  ///< [n, p], the model's rows at equal lengths
  std::size_t gamed = 0;
  std::vector<std::size_t> judged;  ///< which of the model's rows the others of `train` are
  std::size_t own = 0;              ///< column
};

struct Differences {
  std::vector<double> lengths;  ///< the baseline's less the model's
  double deviation = 0;         ///< n - 1
};

Differences differences_of(const LengthControlInput& input) {
  const std::size_t n = input.preference.size();
  Differences result{std::vector<double>(n), 0};
  std::vector<double>& difference = result.lengths;
  double mean = 0;
  for (std::size_t i = 0; i < n; ++i) {
    difference[i] = input.base_length[i] - input.model_length[i];
    mean += difference[i] / static_cast<double>(n);
  }
  double squares = 0;
  for (const double value : difference) squares += (value - mean) * (value - mean);
  result.deviation = n > 1 ? std::sqrt(squares / static_cast<double>(n - 1)) : 0;
  return result;
}

/// tanh of the differences over their standard deviation.
std::vector<double> length_feature(const LengthControlInput& input) {
  Differences differences = differences_of(input);
  for (double& value : differences.lengths) value = std::tanh(value / differences.deviation);
  return std::move(differences.lengths);
}

Design make_design(const LengthControlInput& input) {
  Design design;
  const std::vector<double> length = length_feature(input);
  const bool difficult = !input.difficulty.empty();
  const std::size_t n = input.preference.size();
  const std::size_t p = difficult ? 3 : 2;
  design.own = p - 1;
  design.gamed = input.gamed.preference.size();
  for (std::size_t i = 0; i < n; ++i) {
    if (!std::isnan(input.preference[i])) design.judged.push_back(i);
  }
  design.train.x = Matrix<double>(design.gamed + design.judged.size(), p);
  design.at_zero = Matrix<double>(n, p);
  for (std::size_t k = 0; k < design.gamed; ++k) {
    design.train.x(k, 0) = input.gamed.tanh_length[k];
    if (difficult) design.train.x(k, 1) = input.gamed.difficulty[k];
    design.train.targets.push_back(input.gamed.preference[k]);
    design.train.weights.push_back(kGamedWeight);
  }
  for (std::size_t k = 0; k < design.judged.size(); ++k) {
    const std::size_t i = design.judged[k];
    design.train.x(design.gamed + k, 0) = length[i];
    if (difficult) design.train.x(design.gamed + k, 1) = input.difficulty[i];
    design.train.x(design.gamed + k, design.own) = 1;
    design.train.targets.push_back(input.preference[i]);
    design.train.weights.push_back(1);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (difficult) design.at_zero(i, 1) = input.difficulty[i];
    design.at_zero(i, design.own) = 1;
  }
  return design;
}

/// Minimises |b|_1 + C sum w loss.
std::vector<double> fit(const LogisticRows& rows, std::span<const double> weights, double c) {
  LogisticRows scaled{rows.x, rows.targets, {}};
  for (const double weight : weights) scaled.weights.push_back(c * weight);
  return fit_logistic(scaled, 1, 0);
}

/// The published scorer: a plain mean of weighted losses.
double held_out_loss(const LogisticRows& rows, std::span<const double> coefficients, std::size_t fold) {
  double sum = 0;
  double count = 0;
  for (std::size_t i = fold; i < rows.targets.size(); i += kFolds) {
    const std::size_t row = rows.targets.size() - 1 - i;
    const double p =
        std::clamp(sigmoid(linear(rows.x.row(row), coefficients)), kLeastProbability, 1 - kLeastProbability);
    sum -= rows.weights[row] * (rows.targets[row] * std::log(p) + (1 - rows.targets[row]) * std::log1p(-p));
    count += 1;
  }
  return sum / count;
}

/// The penalty with the least loss on rows that were left out. A row and its mirror image (the same with the other
/// label) are one group; groups are dealt out to the folds from the last to the first, as scikit-learn's GroupKFold
/// deals out groups of equal size if it sorts stably.
double chosen_penalty(const LogisticRows& rows) {
  double best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k < kPenalties; ++k) {
    throw_if_interrupted();
    const double c = std::pow(10.0, -4 + 8.0 * static_cast<double>(k) / (kPenalties - 1));
    double loss = 0;
    for (std::size_t fold = 0; fold < kFolds; ++fold) {
      std::vector<double> weights = rows.weights;
      for (std::size_t i = fold; i < weights.size(); i += kFolds) weights[weights.size() - 1 - i] = 0;
      loss += held_out_loss(rows, fit(rows, weights, c), fold);
    }
    if (loss < least) {
      least = loss;
      best = c;
    }
  }
  return best;
}

std::vector<double> predictions(const Design& design, std::span<const double> coefficients) {
  std::vector<double> result(design.at_zero.rows());
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = sigmoid(linear(design.at_zero.row(i), coefficients));
  return result;
}

/// Percentiles over draws of whole prompts. What the gamed baselines did does not vary.
Interval clustered(const Design& design, std::span<const std::int64_t> prompts, double c, std::uint64_t seed) {
  constexpr int kResamples = 400;
  const std::size_t clusters = 1 + static_cast<std::size_t>(*std::ranges::max_element(prompts));
  if (clusters < 2) return kNoInterval;
  Random random(seed);
  std::vector<double> rates;
  for (int k = 0; k < kResamples; ++k) {
    throw_if_interrupted();
    std::vector<double> times(clusters, 0.0);
    for (std::size_t draw = 0; draw < clusters; ++draw) times[random.below(clusters)] += 1;
    std::vector<double> weights = design.train.weights;
    for (std::size_t row = 0; row < design.judged.size(); ++row) {
      weights[design.gamed + row] *= times[static_cast<std::size_t>(prompts[design.judged[row]])];
    }
    const std::vector<double> predicted = predictions(design, fit(design.train, weights, c));
    double sum = 0;
    double count = 0;
    for (std::size_t i = 0; i < predicted.size(); ++i) {
      const double weight = times[static_cast<std::size_t>(prompts[i])];
      sum += weight * predicted[i];
      count += weight;
    }
    rates.push_back(sum / count);
  }
  return {quantile(rates, 0.025), quantile(rates, 0.975)};
}

}  // namespace

void set_preferences(GamedBaseline& gamed, double length_sum, double difficulty_sum) {
  Matrix<double> x(gamed.tanh_length.size(), 2);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    x(i, 0) = gamed.tanh_length[i];
    x(i, 1) = gamed.difficulty[i];
  }
  const std::vector<double> coefficients = match_sums(x, std::array{length_sum, difficulty_sum});
  gamed.preference.clear();
  for (std::size_t i = 0; i < x.rows(); ++i) gamed.preference.push_back(sigmoid(linear(x.row(i), coefficients)));
}

namespace {

/// The baseline against itself: half, by definition.
bool is_baseline(const LengthControlInput& input) {
  const auto even = [](double preference) { return preference == 0.5; };
  return input.model_length == input.base_length && std::ranges::all_of(input.preference, even);
}

}  // namespace

std::string why_no_length_control(const LengthControlInput& input) {
  if (is_baseline(input)) return "";
  const auto known = static_cast<std::size_t>(
      std::ranges::count_if(input.preference, [](double preference) { return !std::isnan(preference); }));
  if (known == 0) return "no preference is known";
  if (known + input.gamed.preference.size() < kFolds) {
    return fmt::format("{} rows are too few: the penalty is chosen on {} folds", known, kFolds);
  }
  if (!(differences_of(input).deviation > 0)) {
    return "all replies differ from the baseline's by the same number of characters";
  }
  return "";
}

LengthControlledRate length_controlled_rate(const LengthControlInput& input, std::uint64_t seed) {
  if (is_baseline(input)) return {.variant = "baseline", .rate = 0.5, .clustered95 = {0.5, 0.5}};
  if (const std::string why = why_no_length_control(input); !why.empty()) throw Error(ErrorCode::BadInput, why);
  const Design design = make_design(input);
  LengthControlledRate result;
  result.variant = !input.gamed.preference.empty() ? "length_controlled_v1"
                   : !input.difficulty.empty()     ? "length_controlled_noreg"
                                                   : "length_controlled_minimal";
  result.penalty_c = chosen_penalty(design.train);
  const std::vector<double> coefficients = fit(design.train, design.train.weights, result.penalty_c);
  result.length_coefficient = coefficients[0];
  if (!input.difficulty.empty()) result.difficulty_coefficient = coefficients[1];
  result.model_coefficient = coefficients[design.own];
  const std::vector<double> predicted = predictions(design, coefficients);
  const MeanWithError mean = mean_with_error(predicted);
  result.rate = mean.mean;
  result.standard_error = input.difficulty.empty() ? std::numeric_limits<double>::quiet_NaN() : mean.standard_error;
  result.clustered95 = clustered(design, input.prompts, result.penalty_c, seed);
  return result;
}

}  // namespace coala
