// A token head that learns lesson by lesson, against Newton's method in the weights and refits without each prompt.
#include "head/token_learner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "head/next_lesson.h"
#include "head/token_weights.h"
#include "linalg/factorisation.h"
#include "support.h"

namespace coala {
namespace {

constexpr std::size_t kRank = 3;
constexpr std::size_t kWidth = kRank * kRank + kRank;

TokenBasis random_basis(std::uint64_t seed) {
  Random random(seed);
  TokenBasis basis{Matrix<float>(kRank, 5), Matrix<float>(kRank, 5), Matrix<float>(40, kRank),
                   Matrix<float>(40, kRank)};
  for (Matrix<float>* part : {&basis.states, &basis.embeddings, &basis.sample_states, &basis.sample_residuals}) {
    for (float& value : part->values()) value = static_cast<float>(random.normal());
  }
  for (std::size_t i = 0; i < 40; ++i) basis.sample_states(i, 0) += 2;  // states have a mean
  return basis;
}

/// Lessons of a hidden taste, two of each prompt, some of one reply alone.
std::vector<Lesson> lessons_of(std::size_t count, double noise, std::uint64_t seed) {
  Random random(seed);
  std::vector<double> taste(kWidth);
  for (double& weight : taste) weight = random.normal();
  std::vector<Lesson> lessons;
  for (std::size_t i = 0; i < count; ++i) {
    Lesson lesson;
    double score = noise * random.normal();
    for (std::size_t j = 0; j < kWidth; ++j) {
      lesson.sums.push_back(static_cast<float>(3 * random.normal()));
      score += taste[j] * static_cast<double>(lesson.sums[j]);
    }
    lesson.prompt = "prompt " + std::to_string(i / 2);
    if (i % 3 == 2) {
      lesson.label = score > 0 ? 1 : -1;
    } else if (score < 0) {
      for (float& sum : lesson.sums) sum = -sum;
    }
    lessons.push_back(std::move(lesson));
  }
  return lessons;
}

/// The program in the weights of scaled columns, by Newton's method in double precision.
struct Plain {
  Matrix<double> x;  ///< [n, columns]
  std::vector<double> offsets, labels;
  double penalty = 0;

  double odds(const std::vector<double>& w, std::size_t i) const {
    double z = offsets[i];
    for (std::size_t j = 0; j < w.size(); ++j) z += x(i, j) * w[j];
    return z;
  }
  std::vector<double> step(std::vector<double> w, const std::set<std::size_t>& without) const {
    Matrix<double> h(w.size(), w.size());
    std::vector<double> g(w.size());
    for (std::size_t j = 0; j < w.size(); ++j) {
      g[j] = penalty * w[j];
      h(j, j) = penalty;
    }
    for (std::size_t i = 0; i < x.rows(); ++i) {
      if (without.contains(i)) continue;
      const double q = 1 / (1 + std::exp(labels[i] * odds(w, i)));
      for (std::size_t j = 0; j < w.size(); ++j) {
        g[j] -= labels[i] * q * x(i, j);
        for (std::size_t k = 0; k < w.size(); ++k) h(j, k) += q * (1 - q) * x(i, j) * x(i, k);
      }
    }
    const auto factor = Cholesky::factor(std::move(h));
    factor->solve(g);
    for (std::size_t j = 0; j < w.size(); ++j) w[j] -= g[j];
    return w;
  }
  std::vector<double> solve(const std::set<std::size_t>& without) const {
    std::vector<double> w(x.cols());
    for (int k = 0; k < 60; ++k) w = step(std::move(w), without);
    return w;
  }
};

/// @param bias_length  that the learner may have chosen
Plain plain_of(const std::vector<Lesson>& lessons, double bias_length, double penalty,
               const std::vector<double>& prior) {
  const std::size_t n = lessons.size();
  const bool has_prior = !prior.empty();
  Plain plain{Matrix<double>(n, kWidth + (has_prior ? 1 : 0)), std::vector<double>(n), {}, penalty};
  double squares[2] = {};
  std::vector<double> foretold(n);
  for (std::size_t i = 0; i < n; ++i) {
    plain.labels.push_back(lessons[i].label);
    for (std::size_t j = 0; j < kWidth; ++j) {
      const auto sum = static_cast<double>(lessons[i].sums[j]);
      squares[j >= kRank * kRank] += sum * sum;
      if (has_prior) foretold[i] += sum * prior[j];
    }
  }
  // Of the two kinds of columns, lengths of 1 and bias_length, and then a mean square of 1 for a lesson.
  const double mean = (1 + bias_length * bias_length) / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < kWidth; ++j) {
      const bool bias = j >= kRank * kRank;
      plain.x(i, j) =
          static_cast<double>(lessons[i].sums[j]) * (bias ? bias_length : 1) / std::sqrt(squares[bias] * mean);
    }
  }
  if (!has_prior) return plain;
  double size = 0;
  for (const double value : foretold) size += value * value / static_cast<double>(n);
  for (std::size_t i = 0; i < n; ++i) plain.x(i, kWidth) = plain.offsets[i] = foretold[i] / std::sqrt(size);
  return plain;
}

/// The weights of the sums as they are.
std::vector<double> unscaled(const Plain& plain, const std::vector<Lesson>& lessons, const std::vector<double>& w) {
  std::vector<double> weights(kWidth);
  for (std::size_t j = 0; j < kWidth; ++j) {
    for (std::size_t i = 0; i < lessons.size(); ++i) {
      if (lessons[i].sums[j] == 0) continue;
      weights[j] = w[j] * plain.x(i, j) / static_cast<double>(lessons[i].sums[j]);
      break;
    }
  }
  return weights;
}

TokenHead random_head(std::uint64_t seed) {
  Random random(seed);
  TokenHead head{Matrix<float>(kRank, 5), Matrix<float>(kRank, kRank), Matrix<float>(kRank, 5), {}};
  for (float& value : head.weights.values()) value = static_cast<float>(0.1 * random.normal());
  head.bias.assign(kRank, 0.0f);
  return head;
}

/// A head without a bias of its own, in the columns of the sums.
std::vector<double> columns_of(const TokenHead& head) {
  std::vector<double> w0(head.weights.values().begin(), head.weights.values().end());
  w0.resize(kWidth);
  return w0;
}

/// New sums in the columns of the plain program; with a prior the last one is what that says of them.
std::vector<double> columns_of(const Plain& plain, const std::vector<Lesson>& lessons, const std::vector<float>& asked,
                               const std::vector<double>& w0) {
  std::vector<double> x(plain.x.cols());
  double foretold = 0;
  double own = 0;
  for (std::size_t j = 0; j < kWidth; ++j) {
    x[j] = static_cast<double>(asked[j]) * plain.x(0, j) / static_cast<double>(lessons[0].sums[j]);
    foretold += static_cast<double>(asked[j]) * w0[j];
    own += static_cast<double>(lessons[0].sums[j]) * w0[j];
  }
  if (x.size() > kWidth) x[kWidth] = foretold / own * plain.offsets[0];
  return x;
}

TEST(TokenLearner, SolvesTheProgramAndForeseesAsRefitsDo) {
  const TokenBasis basis = random_basis(1);
  const TokenHead head = random_head(2);
  const std::vector<double> w0 = columns_of(head);
  for (const bool has_prior : {false, true}) {
    for (const std::uint64_t seed : {3u, 4u, 5u}) {
      const std::vector<Lesson> lessons = lessons_of(60, 6, seed);
      TokenLearner learner(basis, has_prior ? &head : nullptr, 0.4);
      for (const Lesson& lesson : lessons) learner.add(lesson);
      const Learned learned = learner.learn();
      ASSERT_EQ(learned.foreseen.size(), lessons.size());
      double nearest = 1e9;
      for (const double bias_length : {1.0, 4.0}) {
        const Plain plain = plain_of(lessons, bias_length, learned.penalty, has_prior ? w0 : std::vector<double>());
        const std::vector<double> w = plain.solve({});
        std::vector<double> weights = unscaled(plain, lessons, w);
        if (has_prior) {
          double size = 0;  // what an offset of one is of the prior
          for (std::size_t i = 0; i < lessons.size(); ++i) {
            double foretold = 0;
            for (std::size_t j = 0; j < kWidth; ++j) foretold += static_cast<double>(lessons[i].sums[j]) * w0[j];
            size += foretold * foretold / static_cast<double>(lessons.size());
          }
          for (std::size_t j = 0; j < kWidth; ++j) weights[j] += (1 + w[kWidth]) / std::sqrt(size) * w0[j];
        }
        const double strength =
            has_prior ? sample_strength(basis, w0) : 0.4 * std::sqrt(std::max(0.25, learned.reliability));
        const Matrix<float> expected = head_weights(basis, weights, strength);
        double worst = 0;
        for (std::size_t k = 0; k < expected.values().size(); ++k) {
          worst =
              std::max(worst, std::abs(static_cast<double>(expected.values()[k] - learned.head.weights.values()[k])));
        }
        nearest = std::min(nearest, worst);
        if (worst > 1e-4) continue;
        // One Newton step stands for a refit: what is left is of second order in a lesson's weight.
        double square = 0;
        double error = 0;
        for (std::size_t i = 0; i < lessons.size(); ++i) {
          std::set<std::size_t> without;
          for (std::size_t j = 0; j < lessons.size(); ++j) {
            if (lessons[j].prompt == lessons[i].prompt) without.insert(j);
          }
          const double refitted = plain.odds(plain.solve(without), i);
          square += refitted * refitted;
          error += (refitted - learned.foreseen[i]) * (refitted - learned.foreseen[i]);
        }
        EXPECT_LT(error, 0.01 * square) << seed;
      }
      EXPECT_LT(nearest, 1e-4) << seed;
      EXPECT_GT(learned.accuracy, 0.6) << seed;
    }
  }
}

TEST(TokenLearner, BeginsWithItsPriorAndGoesBackToIt) {
  const TokenBasis basis = random_basis(1);
  const TokenHead head = random_head(2);
  TokenLearner learner(basis, &head, 0.4);
  EXPECT_EQ(learner.learn().head.weights.values()[0], head.weights.values()[0]);
  const std::vector<Lesson> lessons = lessons_of(6, 0, 3);
  std::vector<float> before;
  for (std::size_t i = 0; i < lessons.size(); ++i) {
    learner.add(lessons[i]);
    const Learned learned = learner.learn();
    if (i == 4) before.assign(learned.head.weights.values().begin(), learned.head.weights.values().end());
    // As strong as the prior is, whatever the lessons say.
    std::vector<double> weights(learned.head.weights.values().begin(), learned.head.weights.values().end());
    weights.resize(kWidth);
    std::vector<double> own(head.weights.values().begin(), head.weights.values().end());
    own.resize(kWidth);
    EXPECT_NEAR(sample_strength(basis, weights), sample_strength(basis, own), 1e-5);
  }
  learner.remove_last();
  const Learned again = learner.learn();
  for (std::size_t k = 0; k < before.size(); ++k) EXPECT_NEAR(again.head.weights.values()[k], before[k], 1e-6);
}

TEST(TokenLearner, ForeseesAllAndNotMore) {
  TokenLearner learner(random_basis(1), nullptr, 0.4);
  const Lesson same = lessons_of(1, 0, 3).front();
  for (int n = 1; n <= 25; ++n) {
    Lesson lesson = same;
    lesson.prompt = std::to_string(n);
    learner.add(std::move(lesson));
    const double accuracy = learner.learn().accuracy;
    EXPECT_EQ(accuracy, n == 1 ? 0.5 : 1) << n << " lessons: shares of rounded ninths add up to more";
  }
}

TEST(TokenLearner, SaysNothingWithoutLessonsAndLittleWithFew) {
  TokenLearner learner(random_basis(1), nullptr, 0.4);
  const Learned none = learner.learn();
  for (const float weight : none.head.weights.values()) EXPECT_EQ(weight, 0);
  learner.add(lessons_of(1, 0, 3).front());
  const Learned one = learner.learn();
  EXPECT_EQ(one.reliability, 0) << "one lesson is foreseen by none";
  EXPECT_EQ(one.accuracy, 0.5);
  std::vector<double> weights(one.head.weights.values().begin(), one.head.weights.values().end());
  weights.resize(kWidth);
  EXPECT_NEAR(sample_strength(random_basis(1), weights), 0.4 * std::sqrt(0.25), 1e-5);
  // The same prompt twice tells nothing of others.
  Lesson second = lessons_of(1, 0, 3).front();
  learner.add(second);
  EXPECT_EQ(learner.learn().reliability, 0);
}

TEST(NextLesson, InformationIsThatOfPlainDraws) {
  EXPECT_EQ(information_bits({1, 0}), 0);
  // Nothing is known, and the answer will be sure, but near 0: the integral of H(sigmoid(z)) is pi^2 / (3 log 2).
  const double near_zero = M_PI * M_PI / (3 * std::log(2)) / (100 * std::sqrt(2 * M_PI));
  EXPECT_NEAR(information_bits({0, 1e4}), 1 - near_zero, 1e-3);
  // To the second order, variance p (1 - p) / 2 nats.
  const double p = 1 / (1 + std::exp(-0.7));
  EXPECT_NEAR(information_bits({0.7, 1e-4}), 1e-4 * p * (1 - p) / 2 / std::log(2), 1e-8);
  const auto entropy = [](double q) { return -q * std::log2(q) - (1 - q) * std::log2(1 - q); };
  Random random(1);
  for (const Outlook& outlook : {Outlook{0, 1}, Outlook{1, 4}, Outlook{-3, 9}, Outlook{6, 0.5}}) {
    double share = 0;
    double rest = 0;
    constexpr int kDraws = 400'000;
    for (int i = 0; i < kDraws; ++i) {
      const double q = 1 / (1 + std::exp(-outlook.mean - std::sqrt(outlook.variance) * random.normal()));
      share += q / kDraws;
      rest += entropy(q) / kDraws;
    }
    EXPECT_NEAR(information_bits(outlook), entropy(share) - rest, 3e-3) << outlook.mean;
  }
}

/// In the weights of scaled columns: mean x'w, variance x'H^-1 x, H the Hessian of the program.
TEST(NextLesson, OutlookIsThatOfTheWeights) {
  const TokenHead head = random_head(2);
  const std::vector<double> w0 = columns_of(head);
  for (const bool has_prior : {false, true}) {
    const std::vector<Lesson> all = lessons_of(50, 6, 7);
    const std::vector<Lesson> lessons(all.begin(), all.begin() + 40);
    std::vector<std::vector<float>> asked;
    for (std::size_t i = 40; i < all.size(); ++i) asked.push_back(all[i].sums);
    TokenLearner learner(random_basis(1), has_prior ? &head : nullptr, 0.4);
    for (const Lesson& lesson : lessons) learner.add(lesson);
    EXPECT_EQ(test::error_code_of([&] { learner.outlook(asked); }), ErrorCode::BadUsage) << "nothing is solved yet";
    const double penalty = learner.learn().penalty;
    const std::vector<Outlook> outlooks = learner.outlook(asked);
    double nearest = 1e9;
    for (const double bias_length : {1.0, 4.0}) {  // whichever was chosen
      const Plain plain = plain_of(lessons, bias_length, penalty, has_prior ? w0 : std::vector<double>());
      const std::vector<double> w = plain.solve({});
      Matrix<double> h(w.size(), w.size());
      for (std::size_t j = 0; j < w.size(); ++j) h(j, j) = penalty;
      for (std::size_t i = 0; i < lessons.size(); ++i) {
        const double q = 1 / (1 + std::exp(plain.odds(w, i)));
        for (std::size_t j = 0; j < w.size(); ++j) {
          for (std::size_t k = 0; k < w.size(); ++k) h(j, k) += q * (1 - q) * plain.x(i, j) * plain.x(i, k);
        }
      }
      const auto factor = Cholesky::factor(std::move(h));
      double worst = 0;
      for (std::size_t a = 0; a < asked.size(); ++a) {
        const std::vector<double> x = columns_of(plain, lessons, asked[a], w0);
        const double offset = has_prior ? x[kWidth] : 0;
        double mean = offset;
        for (std::size_t j = 0; j < w.size(); ++j) mean += x[j] * w[j];
        std::vector<double> solved = x;
        factor->solve(solved);
        double variance = 0;
        for (std::size_t j = 0; j < w.size(); ++j) variance += x[j] * solved[j];
        worst = std::max({worst, std::abs(outlooks[a].mean - mean) / (1 + std::abs(mean)),
                          std::abs(outlooks[a].variance - variance) / (1 + variance)});
      }
      nearest = std::min(nearest, worst);
    }
    EXPECT_LT(nearest, 1e-5) << has_prior;
  }
}

/// Against the program solved again without each lesson, and against one Newton step in the weights without it.
TEST(LessonInfluence, IsWhatARefitWithoutTheLessonChanges) {
  const TokenHead head = random_head(2);
  const std::vector<double> w0 = columns_of(head);
  for (const bool has_prior : {false, true}) {
    const std::vector<Lesson> all = lessons_of(41, 6, 9);
    const std::vector<Lesson> lessons(all.begin(), all.begin() + 40);
    const std::vector<float>& asked = all.back().sums;
    TokenLearner learner(random_basis(1), has_prior ? &head : nullptr, 0.4);
    for (const Lesson& lesson : lessons) learner.add(lesson);
    EXPECT_EQ(test::error_code_of([&] { learner.influence(asked); }), ErrorCode::BadUsage) << "nothing is solved yet";
    const double penalty = learner.learn().penalty;
    const LessonInfluence found = learner.influence(asked);
    EXPECT_NEAR(found.log_odds, learner.outlook(std::span(&asked, 1))[0].mean, 1e-9);
    ASSERT_EQ(found.parts.size(), lessons.size());
    double nearest_step = 1e9;
    double nearest_refit = 1e9;
    for (const double bias_length : {1.0, 4.0}) {  // whichever was chosen
      const Plain plain = plain_of(lessons, bias_length, penalty, has_prior ? w0 : std::vector<double>());
      const std::vector<double> w = plain.solve({});
      const std::vector<double> x = columns_of(plain, lessons, asked, w0);
      double worst_step = 0;
      double worst_refit = 0;
      double largest = 0;
      for (std::size_t i = 0; i < lessons.size(); ++i) {
        const std::vector<double> refitted = plain.solve({i});
        const std::vector<double> stepped = plain.step(w, {i});
        double refit = 0;
        double step = 0;
        for (std::size_t j = 0; j < w.size(); ++j) {
          refit += x[j] * (w[j] - refitted[j]);
          step += x[j] * (w[j] - stepped[j]);
        }
        largest = std::max(largest, std::abs(refit));
        worst_step = std::max(worst_step, std::abs(found.parts[i] - step));
        worst_refit = std::max(worst_refit, std::abs(found.parts[i] - refit));
      }
      nearest_step = std::min(nearest_step, worst_step / largest);
      nearest_refit = std::min(nearest_refit, worst_refit / largest);
    }
    EXPECT_LT(nearest_step, 1e-5) << has_prior;
    EXPECT_LT(nearest_refit, 0.2) << has_prior;  // 40 lessons that contradict each other: 0.14
  }
  TokenLearner fresh(random_basis(1), nullptr, 0.4);
  fresh.learn();
  EXPECT_TRUE(fresh.influence(lessons_of(1, 0, 1)[0].sums).parts.empty());
}

/// Shares of unseen pairs that are foreseen after each lesson, over many tastes.
/// @param choices  pairs that the next lesson is chosen from; 1: the first that comes
std::vector<double> accuracy_by_lessons(std::size_t choices, std::size_t lessons) {
  constexpr std::uint64_t kTastes = 30;
  std::vector<double> accuracy(lessons);
  for (std::uint64_t seed = 0; seed < kTastes; ++seed) {
    std::vector<Lesson> pool = lessons_of(8 * lessons, 3, 100 + seed);
    for (std::size_t i = 0; i < pool.size(); ++i) {  // pairs, in either order, each of a prompt of its own
      pool[i].prompt = std::to_string(i);
      const bool turned = i % 2 == 1;
      if (turned) {
        for (float& sum : pool[i].sums) sum = -sum;
        pool[i].label = -pool[i].label;
      }
    }
    Random random(100 + seed);
    std::vector<double> taste(kWidth);  // as lessons_of() draws it
    for (double& weight : taste) weight = random.normal();
    std::vector<std::vector<float>> unseen;
    for (const Lesson& lesson : lessons_of(200, 0, 1000 + seed)) unseen.push_back(lesson.sums);
    TokenLearner learner(random_basis(1), nullptr, 0.4);
    learner.learn();
    for (std::size_t n = 0; n < lessons; ++n) {
      std::vector<std::vector<float>> offered;
      for (std::size_t k = 0; k < choices; ++k) offered.push_back(pool[8 * n + k].sums);
      std::size_t best = 0;
      const std::vector<Outlook> outlooks = learner.outlook(offered);
      for (std::size_t k = 1; k < choices; ++k) {
        if (information_bits(outlooks[k]) > information_bits(outlooks[best])) best = k;
      }
      learner.add(pool[8 * n + best]);
      learner.learn();
      const std::vector<Outlook> foreseen = learner.outlook(unseen);
      for (std::size_t i = 0; i < unseen.size(); ++i) {
        double truth = 0;
        for (std::size_t j = 0; j < kWidth; ++j) truth += taste[j] * static_cast<double>(unseen[i][j]);
        accuracy[n] += (truth > 0) == (foreseen[i].mean > 0) ? 1.0 / (kTastes * 200) : 0;
      }
    }
  }
  return accuracy;
}

/// Of eight pairs that one could compare, those that are said to teach most reach with fewer comparisons what pairs
/// that come by chance reach.
TEST(NextLesson, ChosenPairsTeachMoreThanOthers) {
  constexpr std::size_t kLessons = 30;
  const std::vector<double> by_chance = accuracy_by_lessons(1, kLessons);
  const std::vector<double> chosen = accuracy_by_lessons(8, kLessons);
  std::size_t needed = 0;
  while (needed < kLessons && chosen[needed] < by_chance.back()) ++needed;
  const double ratio = static_cast<double>(needed + 1) / kLessons;
  std::printf("by chance %zu pairs foresee %.3f; chosen, %zu do: %.2f\n", kLessons, by_chance.back(), needed + 1,
              ratio);
  EXPECT_LE(ratio, 0.8);
  EXPECT_GT(by_chance.back(), 0.7) << "there is something to be learnt";
}

TEST(TokenLearner, RefusesWhatIsNoLesson) {
  TokenLearner learner(random_basis(1), nullptr, 0.4);
  EXPECT_EQ(test::error_code_of([&] { learner.remove_last(); }), ErrorCode::BadUsage);
  Lesson lesson = lessons_of(1, 0, 3).front();
  lesson.sums.pop_back();
  EXPECT_EQ(test::error_code_of([&] { learner.add(lesson); }), ErrorCode::BadInput);
  lesson.sums.push_back(NAN);
  EXPECT_EQ(test::error_code_of([&] { learner.add(lesson); }), ErrorCode::BadInput);
  EXPECT_EQ(learner.size(), 0u);
}

}  // namespace
}  // namespace coala
