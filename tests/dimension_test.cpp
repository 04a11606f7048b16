// Many columns: leading directions instead of all, and work that grows hardly faster than the columns.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <numeric>
#include <set>

#include "core/atomic_file.h"
#include "features/feature_subset.h"
#include "head/first_look.h"
#include "head/fit.h"
#include "head/head.h"
#include "head/linear_fit.h"
#include "head/linear_selection.h"
#include "linalg/blas.h"
#include "linalg/factorisation.h"
#include "solver/backend_metric.h"
#include "solver/certificate.h"
#include "solver/gated.h"
#include "solver/gates.h"
#include "solver/linear.h"
#include "solver/row_spectrum.h"
#include "support.h"
#include "synthetic.h"

namespace {
std::atomic<int> cholesky_factorisations{0};
std::atomic<int> eigenvalue_decompositions{0};
}  // namespace

// The program's calls of LAPACK come here first: they are counted and handed on.
extern "C" {
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info) {
  ++cholesky_factorisations;
  using Function = void (*)(const char*, const int*, double*, const int*, int*);
  reinterpret_cast<Function>(dlsym(RTLD_NEXT, "dpotrf_"))(uplo, n, a, lda, info);
}
void dsyevd_(const char* job, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info) {
  if (*lwork != -1) ++eigenvalue_decompositions;
  using Function = void (*)(const char*, const char*, const int*, double*, const int*, double*, double*, const int*,
                            int*, const int*, int*);
  reinterpret_cast<Function>(dlsym(RTLD_NEXT, "dsyevd_"))(job, uplo, n, a, lda, w, work, lwork, iwork, liwork, info);
}
}

namespace coala {
namespace {

using test::accuracy;

/// Rows whose directions have variances of 1/k: as states of language models have them.
Matrix<float> rows_of_decaying_variance(std::size_t n, std::size_t d, std::uint64_t seed) {
  Random random(seed);
  Matrix<float> latent = test::normal_matrix(n, d, random);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < d; ++k) latent(i, k) /= std::sqrt(static_cast<float>(k + 1));
  }
  const Matrix<float> mixing = test::normal_matrix(d, d, random, 1 / std::sqrt(static_cast<double>(d)));
  Matrix<float> rows(n, d);
  gemm(false, false, 1.0f, latent.view(), mixing.view(), 0.0f, rows.view());
  return rows;
}

/// Pairs of such rows, preferred by a linear score of their latent directions' mixtures.
FeatureSet decaying_pairs(std::size_t n, std::size_t d, std::uint64_t seed) {
  FeatureSet set;
  set.kind = FeatureKind::Pairs;
  set.path = "pairs";
  Matrix<float> chosen = rows_of_decaying_variance(2 * n, d, seed);
  Matrix<float> rejected(n, d);
  std::copy_n(chosen.row(n).data(), n * d, rejected.data());
  Matrix<float> first(n, d);
  std::copy_n(chosen.data(), n * d, first.data());
  Random random(seed + 1);
  const Matrix<float> w = test::normal_matrix(1, d, random);
  for (std::size_t i = 0; i < n; ++i) {
    const double margin = dot(w.row(0), first.row(i)) - dot(w.row(0), rejected.row(i));
    if (random.uniform() > 1 / (1 + std::exp(-margin))) std::ranges::swap_ranges(first.row(i), rejected.row(i));
    set.prompt_id.push_back(static_cast<std::int64_t>(i));
  }
  set.chosen = std::move(first);
  set.rejected = std::move(rejected);
  return set;
}

FeatureSet labelled_by(Matrix<float> x, const test::Truth& truth, std::uint64_t seed) {
  FeatureSet set;
  set.kind = FeatureKind::Labelled;
  set.path = "labelled";
  Random random(seed);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    set.labels.push_back(random.uniform() < 1 / (1 + std::exp(-truth(x.row(i)))) ? 1 : -1);
    set.prompt_id.push_back(static_cast<std::int64_t>(i));
  }
  set.features = std::move(x);
  return set;
}

TEST(BlockReflector, IsOrthogonalAndBeginsWithTheVectors) {
  constexpr std::size_t kRank = 7;
  constexpr std::size_t kDimension = 40;
  Random random(1);
  Matrix<float> vectors = test::normal_matrix(kRank, kDimension, random);
  orthonormalise_rows(vectors);
  GatedMetric metric = identity_metric(kDimension);
  metric.leading = BlockReflector(vectors);
  const Matrix<float> w = test::normal_matrix(5, kDimension, random);
  ThreadPool pool(1);
  const auto backend = open_backend("cpu", pool);
  BackendMetric turned(metric, 5, *backend);
  const Buffer from = backend->constant(w.values());
  Buffer there = backend->allocate(w.values().size());
  Buffer again = backend->allocate(w.values().size());
  turned.rotate(from, there);
  turned.rotate_back(there, again);
  const MatrixView<const float> inside(backend->read(there).data(), 5, kDimension);
  const MatrixView<const float> back(backend->read(again).data(), 5, kDimension);
  const double bound = test::rounding_bound(kDimension * kRank) * 10;
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(dot(inside.row(i), inside.row(i)), dot(w.row(i), w.row(i)), bound * dot(w.row(i), w.row(i)));
    for (std::size_t k = 0; k < kRank; ++k) {
      EXPECT_NEAR(std::abs(inside(i, k)), std::abs(dot(vectors.row(k), w.row(i))), bound * 10) << k;
    }
    for (std::size_t j = 0; j < kDimension; ++j) EXPECT_NEAR(back(i, j), w(i, j), bound * 10);
  }
}

TEST(LeadingSpectrum, IsThatOfTheWholeMatrix) {
  ThreadPool pool(2);
  const Matrix<float> a = rows_of_decaying_variance(400, 120, 2);
  const RowSpectrum exact = row_spectrum(a.view(), pool);
  constexpr std::size_t kRank = 30;
  const MomentSpectrum leading = leading_spectrum(a.view(), kRank, 3, pool);
  ASSERT_EQ(leading.rank(), kRank);
  double all = 0;
  double found = 0;
  for (const double value : exact.values) all += value;
  for (std::size_t k = 0; k < kRank; ++k) {
    found += leading.values[k];
    EXPECT_LE(leading.values[k], exact.values[k] * 1.0001) << k;  // Ritz values lie below
    if (k < kRank / 2) {
      EXPECT_GE(leading.values[k], exact.values[k] * 0.99) << k;
    }
  }
  EXPECT_NEAR(leading.rest * (120 - kRank), all - found, 1e-4 * all);
  // The same bits for any number of threads.
  ThreadPool one(1);
  const MomentSpectrum again = leading_spectrum(a.view(), kRank, 3, one);
  EXPECT_TRUE(std::ranges::equal(again.vectors.values(), leading.vectors.values()));
  EXPECT_EQ(again.values, leading.values);
}

TEST(LeadingSpectrum, OfFewerOrDependentRows) {
  ThreadPool pool(1);
  Matrix<float> a = rows_of_decaying_variance(12, 50, 3);
  std::ranges::copy(a.row(0), a.row(1).begin());
  const MomentSpectrum spectrum = leading_spectrum(a.view(), 30, 1, pool);
  ASSERT_EQ(spectrum.rank(), 12u);
  EXPECT_NEAR(spectrum.values.back(), 0, 1e-4 * spectrum.values.front());
  EXPECT_NEAR(spectrum.rest, 0, 1e-4 * spectrum.values.front());
  for (const float value : spectrum.vectors.values()) EXPECT_TRUE(std::isfinite(value));
}

/// A linear program with many columns, its optimum the same whatever preconditions it.
TEST(Linear, LeadingDirectionsPrecondition) {
  ThreadPool pool(1);
  const FeatureSet set = decaying_pairs(600, 600, 4);
  const DesignRows<float> rows{{{set.chosen, set.rejected}}};
  Targets targets;
  targets.loss = Loss::BradleyTerry;
  targets.labels.assign(set.rows(), 1.0f);
  targets.weights.assign(set.rows(), 1.0f);
  const Matrix<float> zero_gate(1, 600);
  const double lambda = 0.03;
  std::int64_t steps[2];
  const MomentSpectrum leading = sampled_moments(rows, targets.weights, 128, pool);
  MomentSpectrum none;
  none.vectors = Matrix<float>(0, 600);
  const MomentSpectrum* const kinds[] = {&leading, &none};
  for (int k = 0; k < 2; ++k) {
    GatedOperator<float> f(rows, zero_gate.view(), pool);
    LinearSolver solver(f, targets, *kinds[k], false);
    const SolveInfo info = solver.solve(lambda, 1e-6);
    EXPECT_EQ(info.status, SolveStatus::Solved);
    EXPECT_LE(certify_linear(rows, targets, solver.weights().w.row(0), 0, false, lambda).relative_gap, 1e-6);
    steps[k] = info.cg_iterations;
  }
  EXPECT_LT(2 * steps[0], steps[1]);
}

TEST(Linear, AGapEndsASolve) {
  ThreadPool pool(1);
  const FeatureSet set = decaying_pairs(300, 30, 5);
  const DesignRows<float> rows{{{set.chosen, set.rejected}}};
  Targets targets;
  targets.loss = Loss::BradleyTerry;
  targets.labels.assign(set.rows(), 1.0f);
  targets.weights.assign(set.rows(), 1.0f);
  const Matrix<float> zero_gate(1, 30);
  const MomentSpectrum moments = row_moments(rows, targets.weights, pool);
  GatedOperator<float> f(rows, zero_gate.view(), pool);
  LinearSolver solver(f, targets, moments, false);
  const SolveInfo info = solver.solve(0.3, 1e-12, {}, 1e-3);
  EXPECT_EQ(info.status, SolveStatus::Solved);
  const double gap = certify_linear(rows, targets, solver.weights().w.row(0), 0, false, 0.3).relative_gap;
  EXPECT_LE(gap, 1.01e-3);
  EXPECT_GT(gap, 0);
}

TEST(Gated, LeadingDirectionsReachTheSameOptimum) {
  ThreadPool pool(1);
  const FeatureSet set = decaying_pairs(500, 520, 6);
  const DesignRows<float> rows{{{set.chosen, set.rejected}}};
  Targets targets;
  targets.loss = Loss::BradleyTerry;
  targets.labels.assign(set.rows(), 1.0f);
  targets.weights.assign(set.rows(), 1.0f);
  Matrix<float> gates = draw_gates(5, 520, 7);
  std::ranges::fill(gates.row(0), 0.0f);
  GatedOperator<float> f(rows, gates.view(), pool);
  const GatedMetric leading = gated_metric(sampled_moments(rows, targets.weights, 64, pool));
  const GatedMetric plain = identity_metric(520);
  std::int64_t iterations[2];
  double objective[2];
  const GatedMetric* const metrics[] = {&leading, &plain};
  for (int k = 0; k < 2; ++k) {
    GatedSolver solver(f, targets, *metrics[k], {.bias = false, .max_iterations = 5000});
    const double beta = 0.05 * solver.beta_max();
    const SolveInfo info = solver.solve(beta, 1e-4);
    EXPECT_EQ(info.status, SolveStatus::Solved);
    const Certificate c = certify_gated(rows, targets, gates.view(), solver.weights().w.view(), 0, false, beta);
    EXPECT_LE(c.relative_gap, 1.1e-4);
    EXPECT_NEAR(info.objective, c.objective, 1e-5 * c.objective);
    iterations[k] = info.iterations;
    objective[k] = c.objective;
  }
  EXPECT_NEAR(objective[0], objective[1], 1.2e-4 * objective[1]);
  EXPECT_LT(iterations[0], iterations[1]);
}

TEST(FirstLook, LiftedWeightsSayTheSame) {
  ThreadPool pool(2);
  const FeatureSet set = decaying_pairs(200, 600, 8);
  const FeatureTransform transform = standardising_transform(set);
  const TrainingRows rows(set, transform, Loss::BradleyTerry, 5, 0);
  SelectionCost cost;
  const std::optional<Look> leading = first_look(set, transform, rows, 5, 0, pool, cost);
  ASSERT_TRUE(leading);
  EXPECT_EQ(leading->rows.fold(), rows.fold());
  EXPECT_GT(cost.flops, 0);
  const std::size_t r = leading->spectrum->rank();
  EXPECT_LE(2 * r * sizeof(std::uint16_t), 600 * sizeof(float));
  Random random(9);
  const Matrix<float> inside = test::normal_matrix(1, r, random);
  const Matrix<float> lifted = leading->lift(inside);
  std::vector<float> x(600);
  std::vector<float> coordinates(r);
  for (std::size_t i = 0; i < 50; ++i) {
    rows.read(i % 2, i, x);
    leading->rows.read(i % 2, i, coordinates);
    const double size =
        std::sqrt(dot(std::span<const float>(coordinates), coordinates)) * std::sqrt(static_cast<double>(r));
    EXPECT_NEAR(dot(inside.row(0), coordinates), dot(lifted.row(0), x), 0x1p-10 * size);  // F16 has 11 bits
  }
}

/// A penalty that falls behind on the first folds costs no more of them, and what is taken is what all folds take.
TEST(Dimension, PenaltiesThatAreBehindAreGivenUp) {
  ThreadPool pool(2);
  const FeatureSet set = decaying_pairs(700, 600, 18);
  const FeatureTransform transform = standardising_transform(set);
  const TrainingRows rows(set, transform, Loss::BradleyTerry, 5, 0);
  SelectionCost unused;
  const std::optional<Look> leading = first_look(set, transform, rows, 5, 0, pool, unused);
  ASSERT_TRUE(leading);
  const MomentSpectrum moments = row_moments(leading->rows.design(), leading->rows.targets().weights, pool);
  std::vector<Candidate> among_leading;
  const HeldOut start = leading->lift(select_linear(leading->rows, moments, 5, SelectionRule::LowestLoss,
                                                    PathSearch::Close, {}, pool, among_leading, unused));
  const MomentSpectrum lifted = leading->lift(moments, 128);
  // The rule of one standard error needs the losses of all penalties that it looks at.
  SelectionCost cost[2];
  std::vector<Candidate> path[2];
  HeldOut taken[2];
  const SelectionRule rules[] = {SelectionRule::LowestLoss, SelectionRule::OneStandardError};
  for (int k = 0; k < 2; ++k) {
    taken[k] = settle_linear(start, rows, lifted, 5, rules[k], {}, pool, path[k], cost[k]);
  }
  const Candidate& least = *std::ranges::min_element(path[1], {}, &Candidate::held_out_loss);
  EXPECT_EQ(taken[0].candidate.penalty_ratio, least.penalty_ratio);
  EXPECT_NEAR(taken[0].candidate.held_out_loss, least.held_out_loss, 1e-4 * least.held_out_loss);
  ASSERT_GE(path[1].size(), 3u);
  EXPECT_EQ(path[0].size(), 1u) << "both neighbours are worse here";
  EXPECT_LT(cost[0].flops, 0.8 * cost[1].flops);
  for (const Candidate& candidate : path[0]) EXPECT_TRUE(std::isfinite(candidate.held_out_loss));
}

FitSettings quick_settings() {
  FitSettings settings;
  settings.gates = 4;
  settings.path_length = 12;
  return settings;
}

TEST(Dimension, WorkGrowsSlowerThanItsPowerOfThreeHalves) {
  ThreadPool pool(2);
  std::vector<double> work;
  for (const std::size_t d : {256u, 512u, 2048u}) {
    const FitResult result = fit_head(decaying_pairs(600, d, 10), quick_settings(), pool);
    work.push_back(result.selection_flops + result.phase_one.flops);
    EXPECT_LE(result.certificate->relative_gap, 2e-4) << d;
  }
  EXPECT_LT(work[2] / work[0], std::pow(2048.0 / 256, 1.5));
  EXPECT_LT(work[2] / work[1], std::pow(2048.0 / 512, 1.5));
}

TEST(Dimension, NothingIsFactorisedAtAStep) {
  ThreadPool pool(1);
  for (const std::size_t d : {40u, 600u}) {
    FitSettings settings = quick_settings();
    settings.model_class = ModelClass::Linear;
    cholesky_factorisations = 0;
    eigenvalue_decompositions = 0;
    const FitResult result = fit_head(decaying_pairs(300, d, 11), settings, pool);
    EXPECT_GT(result.path.size(), 4u);  // with five folds each
    EXPECT_LE(cholesky_factorisations, result.phase_two.iterations + 1) << "Phase II has one number a neuron";
    EXPECT_GE(eigenvalue_decompositions, 1);
    EXPECT_LE(eigenvalue_decompositions, 2) << "of the leading subspace, and of the rows in it";
  }
}

TEST(Dimension, TheNumberOfThreadsDoesNotMatter) {
  const test::TemporaryFolder folder;
  const FeatureSet pairs = decaying_pairs(500, 530, 12);
  const FeatureSet labelled = labelled_by(
      rows_of_decaying_variance(700, 530, 13), [](std::span<const float> x) { return 3 * (x[0] + x[1]); }, 14);
  for (const FeatureSet* set : {&pairs, &labelled}) {
    std::set<std::string> files;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      const FitResult result = fit_head(*set, quick_settings(), pool);
      save_head(make_head(result, *set), folder / "head");
      files.insert(read_file(folder / "head"));
    }
    EXPECT_EQ(files.size(), 1u);
  }
}

/// Columns 2j and 2j + 1 are nearly alike, and only their differences tell: the 400 leading directions, more than a
/// selection begins with, hold none of it.
TEST(Dimension, WhatLiesBeyondTheLeadingDirectionsIsFound) {
  constexpr std::size_t kTwins = 400;
  constexpr std::size_t kRows = 1500;
  Random random(15);
  const Matrix<float> common = test::normal_matrix(2 * kRows, kTwins, random);
  const Matrix<float> own = test::normal_matrix(2 * kRows, kTwins, random, 0.1);
  Matrix<float> x(2 * kRows, 2 * kTwins);
  for (std::size_t i = 0; i < 2 * kRows; ++i) {
    for (std::size_t j = 0; j < kTwins; ++j) {
      x(i, 2 * j) = common(i, j) + own(i, j);
      x(i, 2 * j + 1) = common(i, j) - own(i, j);
    }
  }
  const auto truth = [](std::span<const float> row) {
    double sum = 0;
    for (std::size_t j = 0; j < 8; ++j) sum += static_cast<double>(row[2 * j]) - static_cast<double>(row[2 * j + 1]);
    return 6 * sum;
  };
  const FeatureSet all = labelled_by(std::move(x), truth, 16);
  std::vector<std::size_t> first(kRows);
  std::iota(first.begin(), first.end(), 0);
  std::vector<std::size_t> second(kRows);
  std::iota(second.begin(), second.end(), kRows);
  ThreadPool pool(2);
  const FeatureSet unseen = subset(all, second);
  const FitResult result = fit_head(subset(all, first), quick_settings(), pool);
  const double best = test::bayes_accuracy(unseen, truth);
  EXPECT_GT(best, 0.85);
  // 800 weights from 1,500 rows cost much of it; with the leading directions alone it is a coin's.
  EXPECT_GT(accuracy(result.transform, result.network, unseen), 0.5 + 0.5 * (best - 0.5));
}

TEST(Dimension, ATimeLimitHoldsForManyColumnsToo) {
  ThreadPool pool(1);
  for (const ModelClass model_class : {ModelClass::Gated, ModelClass::Linear}) {
    FitSettings settings = quick_settings();
    settings.model_class = model_class;
    settings.time_limit_s = 1e-9;
    const FitResult result = fit_head(decaying_pairs(200, 600, 17), settings, pool);
    EXPECT_TRUE(result.selection_cut_short);
    EXPECT_EQ(result.path.size(), 1u);
    EXPECT_GE(result.certificate->relative_gap, -1e-9);
  }
}

}  // namespace
}  // namespace coala
