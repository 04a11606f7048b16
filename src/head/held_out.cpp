#include "head/held_out.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace coala {
namespace {

bool was_judged_on(const HeldOut& held_out, const TrainingRows& rows, std::size_t i) {
  return std::ranges::find(held_out.folds, rows.fold()[i]) != held_out.folds.end();
}

/// Standard error of the mean held-out loss, as the folds' means scatter about it.
double error_of_folds(const HeldOut& held_out, const TrainingRows& rows, double mean) {
  const Targets& targets = rows.targets();
  std::map<int, std::pair<double, double>> folds;  // loss, weight
  double weight = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!was_judged_on(held_out, rows, i)) continue;
    auto& [fold_loss, fold_weight] = folds[rows.fold()[i]];
    fold_loss += loss_value(targets, i, held_out.predictions[i]);
    fold_weight += static_cast<double>(targets.weights[i]);
    weight += static_cast<double>(targets.weights[i]);
  }
  double scatter = 0;
  for (const auto& [fold, sums] : folds) {
    if (!(sums.second > 0)) continue;
    const double difference = sums.first / sums.second - mean;
    scatter += sums.second / weight * difference * difference;
  }
  return folds.size() > 1 ? std::sqrt(scatter / static_cast<double>(folds.size() - 1)) : 0.0;
}

/// The factor in [0, kLargestScale] that makes the loss of the predictions least, by Newton's method on a convex
/// function of one variable.
double best_scale(const std::vector<double>& predictions, const Targets& targets) {
  constexpr double kLargestScale = 16;  // predictions that separate the rows have no best one
  constexpr int kMostSteps = 50;
  constexpr double kTolerance = 1e-6;
  double low = 0;
  double high = kLargestScale;
  double scale = 1;
  for (int step = 0; step < kMostSteps && high - low > kTolerance; ++step) {
    double slope = 0;
    double curvature = 0;
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      const double z = predictions[i];
      slope += z * loss_derivative(targets, i, scale * z);
      curvature += z * z * loss_curvature(targets, i, scale * z);
    }
    (slope > 0 ? high : low) = scale;
    const double newton = scale - slope / curvature;
    const double next = newton > low && newton < high ? newton : 0.5 * (low + high);
    if (std::abs(next - scale) < kTolerance * scale) break;
    scale = next;
  }
  return scale;
}

}  // namespace

std::vector<int> used_folds(const TrainingRows& rows, int folds) {
  std::vector<int> used;
  for (int fold = 0; fold < folds; ++fold) {
    if (std::find(rows.fold().begin(), rows.fold().end(), fold) != rows.fold().end()) used.push_back(fold);
  }
  return used;
}

bool is_behind(const HeldOut& one, const HeldOut& rival, const TrainingRows& rows) {
  std::vector<double> of_rival = rival.predictions;
  for (std::size_t i = 0; i < of_rival.size(); ++i) {
    if (!was_judged_on(one, rows, i)) of_rival[i] = 0;
  }
  const double scale = best_scale(one.predictions, rows.targets());
  const double rival_scale = best_scale(of_rival, rows.targets());
  double more = 0;
  for (std::size_t i = 0; i < of_rival.size(); ++i) {
    more += loss_value(rows.targets(), i, scale * one.predictions[i]);
    more -= loss_value(rows.targets(), i, rival_scale * of_rival[i]);
  }
  return more >= 0;
}

void judge_held_out(HeldOut& held_out, const TrainingRows& rows) {
  const Targets& targets = rows.targets();
  const double scale = best_scale(held_out.predictions, targets);
  for (double& z : held_out.predictions) z *= scale;
  double loss = 0;
  double right = 0;
  double weight = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!was_judged_on(held_out, rows, i)) continue;
    const double z = held_out.predictions[i];
    loss += loss_value(targets, i, z);
    const double agreement = static_cast<double>(targets.labels[i]) * z;
    right += static_cast<double>(targets.weights[i]) * (agreement > 0 ? 1.0 : agreement == 0 ? 0.5 : 0.0);
    weight += static_cast<double>(targets.weights[i]);
  }
  held_out.candidate.held_out_loss = loss / weight;
  held_out.candidate.held_out_error = error_of_folds(held_out, rows, loss / weight);
  held_out.candidate.held_out_accuracy = right / weight;
}

void take_fold(HeldOut& held_out, int fold, const TrainingRows::Part& unseen, GatedOperator<float>& f,
               const Matrix<float>& gates, const GatedWeights& fitted) {
  held_out.folds.push_back(fold);
  held_out.gates.push_back(gates);
  held_out.weights.push_back(fitted.w);
  std::vector<float> z(f.rows());
  f.forward(fitted.w.view(), z);
  for (std::size_t k = 0; k < z.size(); ++k) {
    held_out.predictions[unseen.rows[k]] = static_cast<double>(z[k]) + fitted.bias;
  }
}

bool is_lower(const HeldOut& a, const HeldOut& b) {
  return a.candidate.held_out_loss < b.candidate.held_out_loss;
}

Matrix<float> mean_of_folds(const std::vector<Matrix<float>>& weights) {
  Matrix<float> mean(weights.front().rows(), weights.front().cols());
  for (const Matrix<float>& w : weights) {
    for (std::size_t k = 0; k < mean.values().size(); ++k) {
      mean.values()[k] += w.values()[k] / static_cast<float>(weights.size());
    }
  }
  return mean;
}

bool is_better(const HeldOut& a, const HeldOut& b, const TrainingRows& rows, double standard_errors) {
  double sum = 0;
  double squares = 0;
  double n = 0;
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    if (!was_judged_on(a, rows, i)) continue;
    const double gain =
        loss_value(rows.targets(), i, b.predictions[i]) - loss_value(rows.targets(), i, a.predictions[i]);
    sum += gain;
    squares += gain * gain;
    ++n;
  }
  const double variance = std::max(0.0, squares / n - sum / n * (sum / n));
  return sum / n > standard_errors * std::sqrt(variance / n);
}

}  // namespace coala
