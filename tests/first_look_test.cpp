// Many rows: a selection looks at some of them first, and goes on from there on all.
#include "head/first_look.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/atomic_file.h"
#include "head/fit.h"
#include "head/head.h"
#include "support.h"
#include "synthetic.h"

namespace coala {
namespace {

using test::accuracy;

constexpr std::size_t kWholeRows = kFirstRows + kFirstRows / 2;  // that are looked at at once
constexpr std::size_t kMany = 3 * kWholeRows;

double line(std::span<const float> x) {
  return static_cast<double>(x[0]) - static_cast<double>(x[1]);
}

/// What no line says, too: the third column counts by its size.
double bent(std::span<const float> x) {
  return line(x) + 1.5 * std::abs(static_cast<double>(x[2]));
}

struct LookedAt {
  FeatureTransform transform;
  TrainingRows rows;
  std::optional<Look> look;
};

LookedAt look_at(const FeatureSet& set, Loss loss, ThreadPool& pool) {
  SelectionCost cost;
  const FeatureTransform transform = standardising_transform(set);
  TrainingRows rows(set, transform, loss, 5, 0);
  std::optional<Look> look = first_look(set, transform, rows, 5, 0, pool, cost);
  return {transform, std::move(rows), std::move(look)};
}

TEST(FirstLook, FewRowsAreLookedAtAtOnce) {
  ThreadPool pool(1);
  EXPECT_FALSE(look_at(test::pair_set(kWholeRows, 3, line, 1), Loss::BradleyTerry, pool).look);
  EXPECT_TRUE(look_at(test::pair_set(kWholeRows + 1, 3, line, 1), Loss::BradleyTerry, pool).look);
}

TEST(FirstLook, RowsKeepTheirNumbersAndFolds) {
  ThreadPool pool(1);
  for (const Loss loss : {Loss::BradleyTerry, Loss::Logistic}) {
    const LookedAt one = look_at(test::pair_set(kMany, 3, line, 2), loss, pool);
    ASSERT_TRUE(one.look);
    EXPECT_FALSE(one.look->spectrum);
    EXPECT_NEAR(one.look->share, static_cast<double>(kFirstRows) / kMany, 1e-12);
    // Rows are told apart by their numbers.
    const auto rows_of = [](const TrainingRows& rows) {
      std::set<std::pair<int, std::vector<float>>> found;
      std::vector<float> x(rows.dimension());
      for (std::size_t i = 0; i < rows.responses(); ++i) {
        rows.read(0, i, x);
        found.emplace(rows.fold()[i], x);
      }
      return found;
    };
    const auto all = rows_of(one.rows);
    const auto some = rows_of(one.look->rows);
    EXPECT_EQ(some.size(), kFirstRows);
    EXPECT_TRUE(std::ranges::includes(all, some));
  }
}

/// Every second row is of the same class, which rows at even steps would not show; and a class that is too rare to be
/// found among some of the rows is looked for in all.
TEST(FirstLook, ClassesAreThere) {
  ThreadPool pool(1);
  FeatureSet set = test::labelled_set(kMany, 3, line, 3);
  for (std::size_t i = 0; i < kMany; ++i) set.labels[i] = i % 2 == 0 ? 1 : -1;
  const LookedAt even = look_at(set, Loss::Logistic, pool);
  ASSERT_TRUE(even.look);
  double sum = 0;
  for (const float label : even.look->rows.targets().labels) sum += static_cast<double>(label);
  EXPECT_LT(std::abs(sum), 5 * std::sqrt(static_cast<double>(kFirstRows)));
  for (std::size_t i = 0; i < kMany; ++i) set.labels[i] = i % 1000 == 0 ? 1 : -1;
  EXPECT_FALSE(look_at(set, Loss::Logistic, pool).look);
}

/// A handful of prompts is dealt out to the folds; a prompt of one row, and with it a fold, is likely to be left out.
TEST(FirstLook, NoneWhereFoldsWouldChange) {
  ThreadPool pool(1);
  for (const std::size_t d : {3UL, 600UL}) {
    FeatureSet set = test::pair_set(kMany, d, line, 4);
    std::ranges::fill(set.prompt_id, 7);
    set.prompt_id.back() = 8;
    const LookedAt one = look_at(set, Loss::BradleyTerry, pool);
    ASSERT_EQ(one.look.has_value(), d == 600);  // whose columns are many
    if (one.look) {
      EXPECT_TRUE(one.look->has_all_rows());
    }
  }
}

TEST(FirstLook, PenaltiesBecomeThoseOfAllRows) {
  ThreadPool pool(1);
  const LookedAt one = look_at(test::pair_set(kMany, 3, line, 5), Loss::BradleyTerry, pool);
  ASSERT_TRUE(one.look);
  const double share = one.look->share;
  HeldOut held_out;
  held_out.candidate.penalty = 10;
  held_out.candidate.penalty_ratio = 0.5;
  const Candidate group = one.look->lift(held_out).candidate;
  EXPECT_DOUBLE_EQ(group.penalty, 10 / std::sqrt(share));
  EXPECT_DOUBLE_EQ(group.penalty_ratio, 0.5 * std::sqrt(share));
  held_out.candidate.linear = true;
  const Candidate ridge = one.look->lift(held_out).candidate;
  EXPECT_DOUBLE_EQ(ridge.penalty, 10);
  EXPECT_DOUBLE_EQ(ridge.penalty_ratio, 0.5 * share);
}

/// Second moments of some rows stand for those of all.
TEST(FirstLook, MomentsBecomeThoseOfAllRows) {
  ThreadPool pool(1);
  const LookedAt one = look_at(test::pair_set(kMany, 6, line, 6), Loss::BradleyTerry, pool);
  ASSERT_TRUE(one.look);
  const auto moments_of = [&](const TrainingRows& rows) {
    return row_moments(rows.design(), rows.targets().weights, pool);
  };
  const MomentSpectrum lifted = one.look->lift(moments_of(one.look->rows), 2);
  const MomentSpectrum all = moments_of(one.rows);
  EXPECT_TRUE(lifted.whole());
  // Each is a mean of squares of normal numbers: its relative deviation is sqrt(2 / m) at most, six of them are seen.
  for (std::size_t k = 0; k < 6; ++k) {
    EXPECT_NEAR(lifted.values[k] / all.values[k], 1, 4 * std::sqrt(2.0 / kFirstRows));
  }
}

TEST(FirstLook, WhatIsFoundIsOfAllRows) {
  ThreadPool pool(2);
  for (const bool pairs : {true, false}) {
    const auto rows = [&](std::size_t n, std::uint64_t seed) {
      return pairs ? test::pair_set(n, 12, bent, seed) : test::labelled_set(n, 12, bent, seed);
    };
    const FeatureSet unseen = rows(20000, 8);
    const FitResult many = fit_head(rows(kMany, 7), {}, pool);
    EXPECT_EQ(many.chosen.linear, false);
    EXPECT_LE(many.certificate->relative_gap, 2e-4);
    const double right = accuracy(many.transform, many.network, unseen);
    const double best = test::bayes_accuracy(unseen, bent);
    EXPECT_GT(right, best - 0.01) << "a standard error of its estimate is 0.003";
    EXPECT_GT(right, accuracy(many.baseline_transform, many.baseline, unseen) + 0.02);
  }
}

/// The fits of a selection are on some rows; on all there are few.
TEST(FirstLook, WorkGrowsSlowerThanTheRows) {
  ThreadPool pool(2);
  const auto work = [&](std::size_t n) {
    return fit_head(test::pair_set(n, 24, bent, 9), {}, pool).selection_flops / static_cast<double>(n);
  };
  EXPECT_LT(work(kMany), 0.6 * work(kWholeRows));
}

TEST(FirstLook, TheNumberOfThreadsDoesNotMatter) {
  const test::TemporaryFolder folder;
  const FeatureSet set = test::pair_set(kMany, 8, bent, 10);
  std::set<std::string> files;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    save_head(make_head(fit_head(set, {}, pool), set), folder / "head");
    files.insert(read_file(folder / "head"));
  }
  EXPECT_EQ(files.size(), 1u);
}

}  // namespace
}  // namespace coala
