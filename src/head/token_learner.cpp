#include "head/token_learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "core/error.h"
#include "core/interrupt.h"
#include "head/token_weights.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/loss.h"

namespace coala {
namespace {

/// Penalties, over the mean square of a lesson: from one that lets nothing be learnt to one that lets all be.
constexpr double kStrongest = 30;
constexpr double kStep = 3;
constexpr int kPenalties = 10;
/// From so many lessons on the choice of the last solution is only followed by its neighbours, but now and then.
constexpr std::size_t kFew = 100;
constexpr std::size_t kNowAndThen = 50;

double penalty_at(int place) {
  return kStrongest * std::pow(kStep, -place);
}

double right_share(double margin) {
  return margin > 0 ? 1 : margin < 0 ? 0 : 0.5;
}

/// Root of the curvature of a lesson's loss.
double root_curvature(double label, double z) {
  constexpr double kFlat = 1e-10;
  const double q = sigmoid(-label * z);
  return std::sqrt(std::max(kFlat, q * (1 - q)));
}

/// B = I + C^1/2 K C^1/2 / lambda.
Cholesky factored_system(const Matrix<double>& kernel, std::span<const double> root, double penalty) {
  const std::size_t n = root.size();
  Matrix<double> system(n, n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) system(i, j) = root[i] * kernel(i, j) * root[j] / penalty;
    system(i, i) += 1;
  }
  std::optional<Cholesky> factor = Cholesky::factor(std::move(system));
  if (!factor) throw Error(ErrorCode::Internal, "the lessons' system is not positive definite");
  return std::move(*factor);
}

double root_mean_square(const std::vector<double>& values) {
  return std::sqrt(dot(values, values) / static_cast<double>(values.size()));
}

}  // namespace

/// The minimiser, in the lessons' coordinates: w = sum_i alpha_i x_i.
struct TokenLearner::Solution {
  std::vector<double> alpha;
  std::vector<double> foreseen;  ///< log-odds without the lesson and the others of its prompt
};

/// The last solution, as new sums see it.
struct TokenLearner::Posterior {
  double penalty = 1;
  Scales scales;
  double mean = 1;  ///< square of a lesson with its columns scaled
  double size = 0;  ///< of what the prior says of lessons
  std::vector<double> offsets, root;
  std::optional<Cholesky> factor;  ///< none without lessons

  double offset(double foretold) const { return size > 0 ? foretold / size : 0; }
  double product(const Products& both, double offset, double other) const {
    return (scales.in_context * both.in_context + scales.bias * both.bias) / mean + offset * other;
  }
};

TokenLearner::TokenLearner(TokenBasis basis, const TokenHead* prior, double strength)
    : basis_(std::move(basis)), strength_(strength) {
  if (prior == nullptr) return;
  prior_.assign(prior->weights.values().begin(), prior->weights.values().end());
  prior_.resize(basis_.width());  // its bias is in W
  if (const double own = sample_strength(basis_, prior_); own > 0) {
    strength_ = own;
  } else {
    prior_.clear();
  }
}

TokenLearner::Products TokenLearner::products(std::span<const float> one, std::span<const float> other) const {
  const std::size_t count = basis_.rank() * basis_.rank();
  return {dot(one.first(count), other.first(count)), dot(one.subspan(count), other.subspan(count))};
}

void TokenLearner::add(Lesson lesson) {
  const bool finite = std::ranges::all_of(lesson.sums, [](float value) { return std::isfinite(value); });
  if (lesson.sums.size() != basis_.width() || !finite) {
    throw Error(ErrorCode::BadInput, fmt::format("a lesson of {} numbers{}; expected {}", lesson.sums.size(),
                                                 finite ? "" : ", not all of them finite", basis_.width()));
  }
  const std::span<const float> sums = lesson.sums;
  std::vector<double> in_context;
  std::vector<double> bias;
  const auto multiply = [&](std::span<const float> others) {
    const Products both = products(sums, others);
    in_context.push_back(both.in_context);
    bias.push_back(both.bias);
  };
  auto prompt = static_cast<std::int64_t>(lessons_.size());  // of its own, or that of a lesson before
  for (std::size_t i = 0; i < lessons_.size(); ++i) {
    multiply(lessons_[i].sums);
    if (lessons_[i].prompt == lesson.prompt) prompt = std::min(prompt, prompts_[i]);
  }
  multiply(sums);
  const double foretold = prior_.empty() ? 0 : dot(sums, std::span<const double>(prior_));
  const std::size_t size = lessons_.size() + 1;  // room first: nothing is added if there is none
  lessons_.reserve(size);
  prompts_.reserve(size);
  in_context_.reserve(size);
  bias_.reserve(size);
  foretold_.reserve(size);
  in_context_.push_back(std::move(in_context));
  bias_.push_back(std::move(bias));
  foretold_.push_back(foretold);
  prompts_.push_back(prompt);
  lessons_.push_back(std::move(lesson));
}

void TokenLearner::remove_last() {
  if (lessons_.empty()) throw Error(ErrorCode::BadUsage, "there is no lesson to take back");
  lessons_.pop_back();
  prompts_.pop_back();
  in_context_.pop_back();
  bias_.pop_back();
  foretold_.pop_back();
}

/// Products of lessons, scaled as in fit_token_head(): a lesson's mean square over those of its kind is that of its
/// columns. The prior's opinion is a column more.
/// @param bias_length  of the sums of tokens alone, over the others
Matrix<double> TokenLearner::kernel(double bias_length) const {
  const std::size_t n = lessons_.size();
  const Scales scales = scales_of(bias_length);
  Matrix<double> kernel(n, n);
  const double mean = mean_square(scales);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const double product = scales.in_context * in_context_[i][j] + scales.bias * bias_[i][j];
      kernel(i, j) = kernel(j, i) = product;
    }
  }
  const std::vector<double> offsets = prior_offsets();
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) kernel(i, j) = kernel(i, j) / mean + offsets[i] * offsets[j];
  }
  return kernel;
}

/// Of a lesson, with its columns scaled; 1 when all lessons are zero.
double TokenLearner::mean_square(const Scales& scales) const {
  double mean = 0;
  for (std::size_t i = 0; i < lessons_.size(); ++i) {
    mean += (scales.in_context * in_context_[i][i] + scales.bias * bias_[i][i]) / static_cast<double>(lessons_.size());
  }
  return mean > 0 ? mean : 1;
}

TokenLearner::Scales TokenLearner::scales_of(double bias_length) const {
  double in_context = 0;
  double bias = 0;
  for (std::size_t i = 0; i < lessons_.size(); ++i) {
    in_context += in_context_[i][i];
    bias += bias_[i][i];
  }
  return {in_context > 0 ? 1 / in_context : 0, bias > 0 ? bias_length * bias_length / bias : 0};
}

/// Log-odds of the lessons by the prior: of a size of one.
std::vector<double> TokenLearner::prior_offsets() const {
  std::vector<double> offsets = foretold_;
  const double size = root_mean_square(offsets);
  for (double& offset : offsets) offset = size > 0 ? offset / size : 0;
  return offsets;
}

/// Newton's method on alpha; each system is that of a weighted least-squares problem,
/// (K + lambda C^-1) alpha = z - o - C^-1 g, in the form that small curvatures c do no harm to (Rasmussen & Williams
/// 2006, algorithm 3.1).
/// @param start  alpha of a problem near by
TokenLearner::Solution TokenLearner::solve(const Matrix<double>& kernel, double penalty,
                                           std::vector<double> start) const {
  const std::size_t n = lessons_.size();
  const std::vector<double> offsets = prior_offsets();
  constexpr int kMostSteps = 50;
  Solution solution{std::move(start), {}};
  std::vector<double>& alpha = solution.alpha;
  alpha.resize(n);
  std::vector<double> z(n), g(n), root(n), b(n);
  const auto predict = [&](const std::vector<double>& at) {
    for (std::size_t i = 0; i < n; ++i) z[i] = offsets[i] + dot(kernel.row(i), std::span<const double>(at));
  };
  const auto objective = [&](const std::vector<double>& at) {
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      sum += softplus(-lessons_[i].label * z[i]) + penalty / 2 * at[i] * (z[i] - offsets[i]);
    }
    return sum;
  };
  std::optional<Cholesky> factor;
  predict(alpha);
  double value = objective(alpha);
  for (int step = 0;; ++step) {
    double slope = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double y = lessons_[i].label;
      const double q = sigmoid(-y * z[i]);
      g[i] = -y * q;
      root[i] = root_curvature(y, z[i]);
      b[i] = root[i] * root[i] * (z[i] - offsets[i]) - g[i];
      slope = std::max(slope, std::abs(penalty * alpha[i] + g[i]));
    }
    factor = factored_system(kernel, root, penalty);
    if (slope <= 1e-9 || step == kMostSteps) break;
    std::vector<double> v(n);
    for (std::size_t i = 0; i < n; ++i) v[i] = root[i] * dot(kernel.row(i), std::span<const double>(b)) / penalty;
    factor->solve(v);
    std::vector<double> next(n);
    for (std::size_t i = 0; i < n; ++i) next[i] = (b[i] - root[i] * v[i]) / penalty;
    // Shorter steps where the objective would not fall.
    bool moved = false;
    for (double length = 1; length > 1e-6; length /= 2) {
      std::vector<double> at(n);
      for (std::size_t i = 0; i < n; ++i) at[i] = alpha[i] + length * (next[i] - alpha[i]);
      predict(at);
      const double there = objective(at);
      if (there > value + 1e-12 * std::abs(value)) continue;
      moved = there < value;
      alpha = std::move(at);
      value = there;
      break;
    }
    if (!moved) {
      predict(alpha);
      break;
    }
  }
  leave_out(*factor, penalty, root, z, g, solution);
  return solution;
}

/// What each lesson's odds are without those of its prompt, G: one Newton step from the solution. With A = (K + lambda
/// C^-1)^-1 and the working response y = z - o - C^-1 g = A^-1 alpha, leaving G out gives y_G - (A_GG)^-1 alpha_G.
void TokenLearner::leave_out(const Cholesky& factor, double penalty, std::span<const double> root,
                             std::span<const double> z, std::span<const double> g, Solution& solution) const {
  const std::size_t n = lessons_.size();
  const std::vector<double> offsets = prior_offsets();
  std::map<std::int64_t, std::vector<std::size_t>> members_of;
  for (std::size_t i = 0; i < n; ++i) members_of[prompts_[i]].push_back(i);
  solution.foreseen.assign(n, 0);
  // A_GG = C^1/2 (B^-1)_GG C^1/2 / lambda, B the factored system.
  const Matrix<double> inverse = factor.inverse();
  for (const auto& [prompt, members] : members_of) {
    const std::size_t m = members.size();
    Matrix<double> block(m, m);
    std::vector<double> right(m);
    for (std::size_t k = 0; k < m; ++k) {
      for (std::size_t l = 0; l < m; ++l) block(k, l) = inverse(members[k], members[l]);
      right[k] = penalty * solution.alpha[members[k]] / root[members[k]];
    }
    const std::optional<Cholesky> inner = Cholesky::factor(std::move(block));
    if (inner) inner->solve(right);
    for (std::size_t k = 0; k < m; ++k) {
      const std::size_t i = members[k];
      const double c = root[i] * root[i];
      const double working = z[i] - g[i] / c;
      solution.foreseen[i] = working - right[k] / root[i];
      // What the others do not know of is a small difference of large numbers.
      const double noise = 1e-6 * std::abs(working);
      if (std::abs(solution.foreseen[i] - offsets[i]) <= noise) solution.foreseen[i] = offsets[i];
    }
  }
}

/// How much of the lessons is left where they contradict each other, from 0 (rounding) to 1: a head of what two
/// opposite lessons leave would be noise at full strength.
double TokenLearner::certainty(const Matrix<double>& kernel, const Solution& solution) const {
  constexpr double kLeast = 1e-3;
  double square = 0;
  double sum = 0;
  for (std::size_t i = 0; i < lessons_.size(); ++i) {
    square += solution.alpha[i] * dot(kernel.row(i), std::span<const double>(solution.alpha));
    sum += std::abs(solution.alpha[i]) * std::sqrt(kernel(i, i));
  }
  return sum > 0 ? std::min(1.0, std::sqrt(std::max(0.0, square)) / (kLeast * sum)) : 0;
}

/// w in the sums' own columns, the prior's share in it.
std::vector<double> TokenLearner::weights_of(const Solution& solution, double bias_length) const {
  const std::size_t n = lessons_.size();
  const std::size_t products = basis_.rank() * basis_.rank();
  const Scales scales = scales_of(bias_length);
  const double mean = mean_square(scales);  // the kernel was divided by it
  std::vector<double> weights(basis_.width());
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < weights.size(); ++j) {
      const double scale = (j < products ? scales.in_context : scales.bias) / mean;
      weights[j] += solution.alpha[i] * scale * static_cast<double>(lessons_[i].sums[j]);
    }
  }
  if (prior_.empty()) return weights;
  const std::vector<double> offsets = prior_offsets();
  const double size = root_mean_square(foretold_);
  const double share = 1 + dot(std::span<const double>(solution.alpha), std::span<const double>(offsets));
  for (std::size_t j = 0; j < weights.size(); ++j) weights[j] += size > 0 ? share / size * prior_[j] : prior_[j];
  return weights;
}

Learned TokenLearner::learn() {
  Learned learned;
  learned.head.states = basis_.states;
  learned.head.embeddings = basis_.embeddings;
  const std::size_t r = basis_.rank();
  if (lessons_.empty()) {
    alpha_.clear();
    learned.head.weights = Matrix<float>(r, r);
    if (!prior_.empty()) std::ranges::copy(std::span(prior_).first(r * r), learned.head.weights.values().begin());
    learned.head.bias.assign(r, 0.0f);
    return learned;
  }
  std::optional<Choice> best;
  std::vector<double> best_weights;
  double certain = 0;
  for (std::size_t length = 0; length < kBiasLengths.size(); ++length) {
    const bool is_near = chosen_ && lessons_.size() > kFew && lessons_.size() % kNowAndThen != 0;
    if (is_near && length != chosen_->bias_length) continue;
    const Matrix<double> products = kernel(kBiasLengths[length]);
    std::vector<double> start;
    const int first = is_near ? std::max(0, chosen_->penalty - 1) : 0;
    const int last = is_near ? std::min(kPenalties - 1, chosen_->penalty + 1) : kPenalties - 1;
    for (int place = first; place <= last; ++place) {
      throw_if_interrupted();
      const Solution solution = solve(products, penalty_at(place), std::move(start));
      const Choice choice = judge(solution, length, place);
      const bool better = !best || choice.loss < best->loss - 1e-12;
      if (better) {
        best = choice;
        best_weights = weights_of(solution, kBiasLengths[length]);
        alpha_ = solution.alpha;
        learned.foreseen = solution.foreseen;
        certain = certainty(products, solution);
      }
      start = solution.alpha;
    }
  }
  chosen_ = best;
  learned.penalty = penalty_at(best->penalty);
  learned.held_out_loss = best->loss;
  learned.accuracy = best->accuracy;
  learned.lessons = lessons_.size();
  learned.prompts = prompts_;
  for (std::size_t i = 0; i < lessons_.size(); ++i) {
    learned.right.push_back(right_share(lessons_[i].label * learned.foreseen[i]));
  }
  const std::set<std::int64_t> prompts(prompts_.begin(), prompts_.end());
  learned.reliability = reliability_of(best->accuracy, prompts.size());
  const double strength =
      prior_.empty() ? certain * strength_ * std::sqrt(budget_share(learned.reliability)) : strength_;
  learned.head.weights = head_weights(basis_, best_weights, strength);
  const std::span<const double> alone = std::span<const double>(best_weights).last(r);
  const double own = sample_strength(basis_, alone);
  for (const double weight : alone) {
    learned.head.bias.push_back(static_cast<float>(own > 0 ? strength / own * weight : 0));
  }
  return learned;
}

/// New sums, checked, as lessons of a learner of their own.
TokenLearner TokenLearner::asking(std::span<const std::vector<float>> sums) const {
  if (alpha_.size() != lessons_.size()) {
    throw Error(ErrorCode::BadUsage, "lessons have changed since the last solution");
  }
  TokenLearner asked(basis_, nullptr, strength_);
  asked.prior_ = prior_;
  for (const std::vector<float>& one : sums) asked.add({one, 1, {}});
  return asked;
}

/// @param asked  by whose sums lengths are measured where there are no lessons
TokenLearner::Posterior TokenLearner::posterior(const TokenLearner& asked) const {
  const std::size_t n = lessons_.size();
  const TokenLearner& measured = n > 0 ? *this : asked;
  const double bias_length = kBiasLengths[n > 0 ? chosen_->bias_length : 0];
  Posterior known;
  known.scales = measured.scales_of(bias_length);
  known.mean = measured.mean_square(known.scales);
  known.size = root_mean_square(measured.foretold_);
  if (n == 0) return known;
  known.penalty = penalty_at(chosen_->penalty);
  known.offsets = prior_offsets();
  const Matrix<double> products = kernel(bias_length);
  for (std::size_t i = 0; i < n; ++i) {
    const double z = known.offsets[i] + dot(products.row(i), std::span<const double>(alpha_));
    known.root.push_back(root_curvature(lessons_[i].label, z));
  }
  known.factor = factored_system(products, known.root, known.penalty);
  return known;
}

std::vector<Outlook> TokenLearner::outlook(std::span<const std::vector<float>> sums) const {
  const std::size_t n = lessons_.size();
  const TokenLearner asked = asking(sums);
  const Posterior known = posterior(asked);
  std::vector<Outlook> outlooks;
  for (std::size_t a = 0; a < sums.size(); ++a) {
    const double offset = known.offset(asked.foretold_[a]);
    Outlook outlook{offset, known.product({asked.in_context_[a][a], asked.bias_[a][a]}, offset, offset)};
    std::vector<double> weighted(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double product = known.product(products(sums[a], lessons_[i].sums), offset, known.offsets[i]);
      outlook.mean += product * alpha_[i];
      weighted[i] = known.root[i] * product;
    }
    std::vector<double> solved = weighted;
    if (known.factor) known.factor->solve(solved);
    const double explained = dot(std::span<const double>(weighted), std::span<const double>(solved)) / known.penalty;
    outlook.variance = std::max(0.0, outlook.variance - explained) / known.penalty;
    outlooks.push_back(outlook);
  }
  return outlooks;
}

LessonInfluence TokenLearner::influence(const std::vector<float>& sums) const {
  const std::size_t n = lessons_.size();
  const TokenLearner asked = asking(std::span(&sums, 1));
  const Posterior known = posterior(asked);
  const double offset = known.offset(asked.foretold_[0]);
  LessonInfluence influence{offset, std::vector<double>(n)};
  if (n == 0) return influence;
  std::vector<double>& parts = influence.parts;
  for (std::size_t i = 0; i < n; ++i) {
    const double product = known.product(products(sums, lessons_[i].sums), offset, known.offsets[i]);
    influence.log_odds += product * alpha_[i];
    parts[i] = known.root[i] * product;
  }
  // A = C^1/2 B^-1 C^1/2 / lambda, B the factored system.
  known.factor->solve(parts);
  const Matrix<double> inverse = known.factor->inverse();
  for (std::size_t i = 0; i < n; ++i) parts[i] *= alpha_[i] / (known.root[i] * inverse(i, i));
  return influence;
}

/// How well the lessons are foreseen by those of other prompts.
TokenLearner::Choice TokenLearner::judge(const Solution& solution, std::size_t bias_length, int penalty) const {
  Choice choice{bias_length, penalty, 0, 0};
  const auto n = static_cast<double>(lessons_.size());
  for (std::size_t i = 0; i < lessons_.size(); ++i) {
    const double margin = lessons_[i].label * solution.foreseen[i];
    choice.loss += softplus(-margin) / n;
    choice.accuracy += right_share(margin);
  }
  choice.accuracy /= n;  // a sum of halves is exact: all of them are 1
  return choice;
}

}  // namespace coala
