#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/matrix.h"
#include "features/token_basis.h"
#include "head/next_lesson.h"
#include "head/token_head.h"
#include "linalg/factorisation.h"

namespace coala {

/// What somebody has said of one reply or of two.
struct Lesson {
  std::vector<float> sums;  ///< [r r + r], TokenSums of the reply; of two, of the better one less those of the other
  double label = 1;         ///< +1, or -1 for a reply that is not liked by itself
  std::string prompt;       ///< hash; lessons of the same prompt are left out together where accuracy is measured
};

/// A head, and what is known of it.
struct Learned {
  TokenHead head;                     ///< as strong as it may be
  double reliability = 0;             ///< from 0 (a coin) to 1, by the next and the number of prompts
  double accuracy = 0;                ///< share of lessons that are foreseen by those of other prompts
  std::size_t lessons = 0;            ///< that it was measured on
  double penalty = 0;                 ///< that was chosen, over the mean square of a lesson
  double held_out_loss = 0;           ///< mean, of lessons by those of other prompts
  std::vector<double> foreseen;       ///< log-odds that those give each lesson
  std::vector<double> right;          ///< whether that is what was said; 1/2 where they know nothing
  std::vector<std::int64_t> prompts;  ///< lessons of the same number are of the same prompt
};

/// What lessons have to do with what is foreseen of a new one (docs/math.md, Influence of lessons).
struct LessonInfluence {
  double log_odds = 0;        ///< by all lessons
  std::vector<double> parts;  ///< of each lesson: the log-odds less those without it; they do not add up
};

/// A token head that learns lesson by lesson (docs/math.md, Lessons): ridge logistic regression of the lessons' sums,
///   min sum_i log(1 + exp(-y_i (a w0 + w)'x_i)) + lambda/2 (||w||^2 + (a - 1)^2),
/// w0 the head that it begins with, at a size that gives a lesson log-odds of one. It is solved in the lessons'
/// coordinates by Newton's method, whose last factor tells as well what each lesson's odds are without it and the
/// others of its prompt: so the penalty is chosen, and the accuracy measured, without folds. A solution costs the cube
/// of the number of lessons, whatever the rank.
class TokenLearner {
 public:
  /// @param basis     its sample says how strong a head is, see sample_strength()
  /// @param prior     in the coordinates of the basis; null: none
  /// @param strength  of a head that foresees all; where there is a prior, its own is taken
  TokenLearner(TokenBasis basis, const TokenHead* prior, double strength);

  /// @throws Error{BadInput} for sums of another size or that are no numbers
  void add(Lesson lesson);
  /// @throws Error{BadUsage} when there is none
  void remove_last();
  std::size_t size() const { return lessons_.size(); }
  const Lesson& last() const { return lessons_.back(); }

  /// The head that all lessons make; without any the prior, or a head that says nothing.
  Learned learn();

  /// What the last solution foresees of lessons that nobody has given yet, and how surely: the posterior of its weights
  /// is taken as normal around them, with the curvature of the program as its inverse covariance (Laplace's method). In
  /// the lessons' coordinates, with k the products of a new one x with them,
  ///   mean = o + k'alpha,  variance = (k(x, x) - k'(K + lambda C^-1)^-1 k) / lambda.
  /// Without lessons the penalty is the mean square of what is asked.
  /// @param sums  as those of a Lesson
  /// @throws Error{BadInput} as add(), Error{BadUsage} when lessons were added or taken back since learn()
  std::vector<Outlook> outlook(std::span<const std::vector<float>> sums) const;

  /// Which lessons make the log-odds of a new one: each is left out by one Newton step from the solution, in which its
  /// own curvature is left out exactly. With k the products of the new one x with the lessons and A = (K + lambda
  /// C^-1)^-1,
  ///   part_i = (A k)_i alpha_i / A_ii.
  /// Penalty and scales are kept.
  /// @throws as outlook()
  LessonInfluence influence(const std::vector<float>& sums) const;

 private:
  struct Solution;
  struct Posterior;
  /// Squares of what the two kinds of sums are multiplied with.
  struct Scales {
    double in_context = 0;
    double bias = 0;
  };
  /// A place on the path, and how it was judged.
  struct Choice {
    std::size_t bias_length = 0;
    int penalty = 0;
    double loss = 0;
    double accuracy = 0;
  };
  /// Of the two kinds of sums.
  struct Products {
    double in_context = 0;
    double bias = 0;
  };
  Products products(std::span<const float> one, std::span<const float> other) const;
  TokenLearner asking(std::span<const std::vector<float>> sums) const;
  Posterior posterior(const TokenLearner& asked) const;
  Scales scales_of(double bias_length) const;
  std::vector<double> prior_offsets() const;
  Matrix<double> kernel(double bias_length) const;
  Solution solve(const Matrix<double>& kernel, double penalty, std::vector<double> start) const;
  void leave_out(const Cholesky& factor, double penalty, std::span<const double> root, std::span<const double> z,
                 std::span<const double> g, Solution& solution) const;
  Choice judge(const Solution& solution, std::size_t bias_length, int penalty) const;
  double mean_square(const Scales& scales) const;
  double certainty(const Matrix<double>& kernel, const Solution& solution) const;
  std::vector<double> weights_of(const Solution& solution, double bias_length) const;

  TokenBasis basis_;
  std::vector<double> prior_;  ///< w0 [r r + r]; empty: none
  double strength_;
  std::vector<Lesson> lessons_;
  std::vector<std::int64_t> prompts_;  ///< of the lessons, numbered
  // Products of each lesson with those before it and itself, of either kind of sums, and what the prior says of each.
  std::vector<std::vector<double>> in_context_, bias_;
  std::vector<double> foretold_;
  std::optional<Choice> chosen_;  ///< by the last solution
  std::vector<double> alpha_;     ///< of that
};

}  // namespace coala
