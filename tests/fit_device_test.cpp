// Fits whose gated program a device computes: that everything of it runs there, that the head says so, and what it
// may differ by from the CPU's, which follows from the duality gaps of the two.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "cpu_device.h"
#include "head/device_room.h"
#include "head/fit.h"
#include "head/head.h"
#include "linalg/factorisation.h"
#include "support.h"
#include "synthetic.h"
#include "train/training_run.h"

namespace coala {
namespace {

constexpr std::size_t kColumns = 4;

double bent(std::span<const float> x) {
  const auto first = static_cast<double>(x[0]);
  return 6 * ((first >= 0 ? first : -first) - 0.7) + static_cast<double>(x[1]);
}

FeatureSet rows_of(bool pairs, std::size_t n, std::uint64_t seed) {
  return pairs ? test::pair_set(n, kColumns, bent, seed) : test::labelled_set(n, kColumns, bent, seed);
}

FitSettings quick(std::optional<Loss> loss = {}) {
  FitSettings settings;
  settings.loss = loss;
  settings.gates = 3;
  settings.path_length = 6;
  settings.folds = 3;
  return settings;
}

class FitDevice : public ::testing::Test {
 protected:
  void SetUp() override { set_quiet(true); }

  std::string bytes_of(const FitResult& fit, const FeatureSet& set) {
    save_head(make_head(fit, set), folder / "head");
    return read_file(folder / "head");
  }

  test::TemporaryFolder folder;
  ThreadPool pool{2};
};

TEST_F(FitDevice, TheGatedProgramIsComputedThereAndTheHeadSaysSo) {
  const FeatureSet set = rows_of(/*pairs=*/false, 400, 1);
  test::CpuDevice device(pool);
  FitResult there = fit_head(set, quick(), pool, &device);
  const FitResult here = fit_head(set, quick(), pool);
  ASSERT_FALSE(there.chosen.linear);
  EXPECT_GT(device.loads, 0);
  EXPECT_EQ(there.device, "device, the CPU");
  EXPECT_EQ(here.device, "");
  EXPECT_EQ(make_head(there, set).value("solver.device"), "device, the CPU");
  EXPECT_FALSE(make_head(here, set).metadata.contains("solver.device"));
  EXPECT_LE(there.certificate->relative_gap, 2e-4);
  EXPECT_EQ(there.selection_passes, here.selection_passes);
  EXPECT_EQ(there.phase_one.passes_over_x, here.phase_one.passes_over_x);
  // This device is the CPU, so all else is the same bytes.
  there.device.clear();
  EXPECT_EQ(bytes_of(there, set), bytes_of(here, set));
}

TEST_F(FitDevice, FeaturesAreLoadedOnceForAllFoldsAndGates) {
  for (const bool pairs : {true, false}) {
    for (const LengthControl control : {LengthControl::None, LengthControl::Weights}) {
      FeatureSet set = rows_of(pairs, 300, 2);
      FitSettings settings = quick();
      if (control != LengthControl::None) {
        if (!pairs) continue;
        settings.length_control = control;
        for (std::size_t i = 0; i < set.rows(); ++i) {
          set.length_chosen.push_back(static_cast<std::int32_t>(10 + i % 7));
          set.length_rejected.push_back(static_cast<std::int32_t>(10 + i % 5));
        }
      }
      test::CpuDevice device(pool);
      fit_head(set, settings, pool, &device);
      EXPECT_EQ(device.feature_rows, set.rows());
      EXPECT_GT(device.loads, 6);  // the folds, and all rows before and after
      EXPECT_EQ(device.loads_of_features, device.loads);
    }
  }
}

TEST_F(FitDevice, EveryFitOfARunIsComputedThere) {
  EvaluationPlan plan;
  plan.folds = 2;
  test::CpuDevice device(pool);
  const TrainingRun run = train_and_evaluate(rows_of(true, 300, 3), plan, quick(), pool, &device);
  EXPECT_EQ(run.metrics.at("solver").at("device"), "device, the CPU");
  EXPECT_EQ(device.feature_rows, 2 * 300u);  // of the folds of the evaluation, and of all rows
  const TrainingRun on_cpu = train_and_evaluate(rows_of(true, 300, 3), plan, quick(), pool);
  EXPECT_FALSE(on_cpu.metrics.at("solver").contains("device"));
}

TEST_F(FitDevice, OtherProgramsDoNotNeedIt) {
  const FeatureSet set = rows_of(/*pairs=*/true, 200, 4);
  for (const ModelClass model_class : {ModelClass::Linear, ModelClass::Cronos, ModelClass::Relu}) {
    FitSettings settings = quick();
    settings.model_class = model_class;
    settings.cronos_gates = 4;
    test::CpuDevice device(pool);
    device.room = 0;
    const FitResult fit = fit_head(set, settings, pool, &device);
    EXPECT_EQ(fit.device, "") << name_of(model_class);
    EXPECT_EQ(device.loads, 0) << name_of(model_class);
  }
  FitSettings without_gates = quick();
  without_gates.gates = 0;
  test::CpuDevice device(pool);
  device.room = 0;
  EXPECT_EQ(fit_head(set, without_gates, pool, &device).device, "");
}

TEST_F(FitDevice, WhatHasNoRoomIsRefusedBeforehand) {
  const FeatureSet set = rows_of(/*pairs=*/true, 5000, 5);
  const std::uint64_t wanted = device_bytes(size_of(set), quick());
  EXPECT_GT(wanted, 2 * 5000 * kColumns * 4);
  test::CpuDevice device(pool);
  device.room = wanted;
  EXPECT_NO_THROW(check_device_room(size_of(set), quick(), device));
  device.room = wanted - 1'000'000;
  try {
    fit_head(set, quick(), pool, &device);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::BadUsage);
    const std::string text = error.what();
    for (const double bytes : {static_cast<double>(wanted), static_cast<double>(device.room)}) {
      EXPECT_NE(text.find(fmt::format("{:.1f} MB", bytes / 1e6)), std::string::npos) << text;
    }
    EXPECT_NE(std::string(error.hint()).find("--device cpu"), std::string::npos) << error.hint();
  }
  EXPECT_EQ(device.loads, 0);
}

/// The design of the gated program over the groups of a network, with a column of ones where there is a bias.
Matrix<double> design_of(const FitResult& fit, const FeatureSet& set, bool bias) {
  const bool pairs = set.kind == FeatureKind::Pairs;
  const Network& network = fit.network;
  Matrix<double> f(set.rows(), network.neurons() * kColumns + (bias ? 1 : 0));
  std::vector<float> x(kColumns);
  const auto add = [&](std::span<const float> features, double sign, std::size_t i) {
    fit.transform.apply(features, std::span<float>(x));
    for (std::size_t p = 0; p < network.neurons(); ++p) {
      double gate = 0;
      for (std::size_t j = 0; j < kColumns; ++j) gate += static_cast<double>(network.gates(p, j)) * x[j];
      for (std::size_t j = 0; j < kColumns; ++j) f(i, p * kColumns + j) += gate >= 0 ? sign * x[j] : 0.0;
    }
  };
  for (std::size_t i = 0; i < set.rows(); ++i) {
    add(pairs ? set.chosen.row(i) : set.features.row(i), 1, i);
    if (pairs) add(set.rejected.row(i), -1, i);
    if (bias) f(i, f.cols() - 1) = 1;
  }
  return f;
}

std::vector<double> times(const Matrix<double>& f, const Matrix<float>& w) {
  std::vector<double> z(f.rows());
  for (std::size_t i = 0; i < f.rows(); ++i) {
    for (std::size_t k = 0; k < w.values().size(); ++k) z[i] += f(i, k) * static_cast<double>(w.values()[k]);
  }
  return z;
}

double norm(std::span<const double> x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  return std::sqrt(sum);
}

double absolute_gap(const FitResult& fit) {
  return fit.certificate->objective - fit.certificate->dual_objective;
}

/// The fit of a device that is there, beside the CPU's.
class FitAgreement : public FitDevice, public ::testing::WithParamInterface<Loss> {
 protected:
  void SetUp() override {
    FitDevice::SetUp();
    const std::vector<std::string> names = backend_names();
    if (names.size() < 2) GTEST_SKIP() << "no device: make device-test DEVICE=vulkan, on a machine with a driver";
    device = open_backend(names[1], pool);
  }

  std::unique_ptr<Backend> device;
};

TEST_P(FitAgreement, DiffersByWhatTheGapsAllow) {
  const bool pairs = GetParam() == Loss::BradleyTerry;
  const FeatureSet set = rows_of(pairs, 500, 6);
  FitSettings settings = quick(GetParam());
  settings.tolerance = 1e-6;
  const FitResult cpu = fit_head(set, settings, pool);
  const FitResult there = fit_head(set, settings, pool, device.get());
  ASSERT_FALSE(cpu.chosen.linear);
  EXPECT_NE(there.device.find(device->description()), std::string::npos);
  for (const FitResult* fit : {&cpu, &there}) {
    EXPECT_EQ(fit->phase_one.status, SolveStatus::Solved);
    EXPECT_LE(fit->certificate->relative_gap, 2 * settings.tolerance);
    EXPECT_GE(fit->certificate->relative_gap, -1e-12);
  }

  // One program: the same choice, penalties that differ by the rounding of beta_max, the same rows behind each gate.
  ASSERT_EQ(there.chosen.linear, false);
  EXPECT_EQ(there.chosen.penalty_ratio, cpu.chosen.penalty_ratio);
  EXPECT_EQ(there.chosen.linear_weight, cpu.chosen.linear_weight);
  EXPECT_EQ(there.chosen.refinements, cpu.chosen.refinements);
  EXPECT_NEAR(there.chosen.penalty / cpu.chosen.penalty, 1, test::rounding_bound(500 + 48));
  ASSERT_EQ(there.network.neurons(), cpu.network.neurons());
  const Matrix<double> f = design_of(cpu, set, !pairs);
  ASSERT_TRUE(std::ranges::equal(design_of(there, set, !pairs).values(), f.values()));

  // Its objective P is the penalty, which is convex, and the losses, whose second derivatives are c or more around the
  // solutions; so P(w) - P* >= m / 2 |w - w*|^2 with m the least eigenvalue of F' diag(c) F, and P(w) - P* is at most
  // the gap. Another penalty moves objectives by its difference times the sum of the groups' norms.
  const std::vector<double> z = times(f, cpu.network.theta1);
  double largest = 0;
  for (const double value : z) largest = std::max(largest, std::abs(value) + 1);  // and a bias, and what they differ by
  const double tilted = 1 / (1 + std::exp(-largest));
  const double c = GetParam() == Loss::Squared ? 1 : tilted * (1 - tilted);
  Matrix<double> moments(f.cols(), f.cols());
  for (std::size_t i = 0; i < f.rows(); ++i) {
    for (std::size_t j = 0; j < f.cols(); ++j) {
      for (std::size_t k = 0; k < f.cols(); ++k) moments(j, k) += c * f(i, j) * f(i, k);
    }
  }
  const double m = symmetric_eigen(moments).values.front();
  ASSERT_GT(m, 0);
  double norms = 0;
  for (const FitResult* fit : {&cpu, &there}) {
    double sum = 0;
    for (std::size_t p = 0; p < fit->network.neurons(); ++p) {
      double square = 0;
      for (const float value : fit->network.theta1.row(p)) square += static_cast<double>(value) * value;
      sum += std::sqrt(square);
    }
    norms = std::max(norms, sum);
  }
  const double moved = std::abs(there.chosen.penalty - cpu.chosen.penalty) * norms;
  const double of_objectives = std::max(absolute_gap(cpu), absolute_gap(there)) + moved;
  EXPECT_NEAR(there.certificate->objective, cpu.certificate->objective, of_objectives);
  const double of_weights = std::sqrt(2 * absolute_gap(cpu) / m) + std::sqrt(2 * (absolute_gap(there) + 2 * moved) / m);
  std::vector<double> difference;
  std::vector<double> weights;
  for (std::size_t k = 0; k < cpu.network.theta1.values().size(); ++k) {
    weights.push_back(cpu.network.theta1.values()[k]);
    difference.push_back(there.network.theta1.values()[k] - weights.back());
  }
  std::printf("%s: weights of size %.3g differ by %.2g (%.2g allowed), objectives of %.4g by %.2g (%.2g allowed)\n",
              loss_name(GetParam()).data(), norm(weights), norm(difference), of_weights, cpu.certificate->objective,
              std::abs(there.certificate->objective - cpu.certificate->objective), of_objectives);
  EXPECT_LE(norm(difference), of_weights);
  EXPECT_LE(of_weights, 0.1 * norm(weights)) << "the bound says nothing";

  // The second layer is refitted to activations that differ by as much, so scores differ by no more than twice the
  // share of the weights; rows of smaller scores may change their side.
  const FeatureSet unseen = rows_of(pairs, 4000, 7);
  const Head head_of_cpu{cpu.transform, cpu.network, {}};
  double size = 0;
  std::vector<double> margins;
  for (std::size_t i = 0; i < unseen.rows(); ++i) {
    const double score = pairs ? head_of_cpu.score(unseen.chosen.row(i)) - head_of_cpu.score(unseen.rejected.row(i))
                               : head_of_cpu.score(unseen.features.row(i));
    margins.push_back(std::abs(score));
    size = std::max(size, std::abs(score));
  }
  const double unsure = 2 * of_weights / norm(weights) * size;
  const auto near =
      static_cast<double>(std::ranges::count_if(margins, [&](double margin) { return margin <= unsure; }));
  const double right = test::accuracy(cpu.transform, cpu.network, unseen);
  EXPECT_NEAR(test::accuracy(there.transform, there.network, unseen), right, near / 4000 + 1e-12);
  EXPECT_GT(right, test::accuracy(cpu.baseline_transform, cpu.baseline, unseen) + 0.02);
}

INSTANTIATE_TEST_SUITE_P(Losses, FitAgreement, ::testing::Values(Loss::BradleyTerry, Loss::Logistic, Loss::Squared),
                         [](const auto& info) {
                           std::string name(loss_name(info.param));
                           std::erase_if(name, [](char c) { return std::isalnum(c) == 0; });
                           return name;
                         });

}  // namespace
}  // namespace coala
