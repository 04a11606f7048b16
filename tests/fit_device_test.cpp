// Fits whose gated program a device computes: that everything of it runs there, that the head says so, and what it
// may differ by from the CPU's, which follows from the duality gaps of the two.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <numeric>

#include "core/atomic_file.h"
#include "core/error.h"
#include "core/progress.h"
#include "cpu_device.h"
#include "head/device_room.h"
#include "head/fit.h"
#include "head/head.h"
#include "head/training_rows.h"
#include "linalg/factorisation.h"
#include "solver/certificate.h"
#include "solver/gated.h"
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
  EXPECT_EQ(run.metrics.solver.device, "device, the CPU");
  EXPECT_EQ(device.feature_rows, 2 * 300u);  // of the folds of the evaluation, and of all rows
  const TrainingRun on_cpu = train_and_evaluate(rows_of(true, 300, 3), plan, quick(), pool);
  EXPECT_FALSE(on_cpu.metrics.solver.device.has_value());
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
  device.room = wanted / 2;
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

constexpr double kNear = 1;

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
  const FeatureSet set = rows_of(pairs, 300, 6);
  FitSettings settings = quick(GetParam());
  settings.gates = 2;
  settings.path_length = 3;
  settings.folds = 2;
  settings.tolerance = 2e-6;
  const FitResult there = fit_head(set, settings, pool, device.get());
  ASSERT_FALSE(there.chosen.linear);
  EXPECT_NE(there.device.find(device->description()), std::string::npos);
  EXPECT_EQ(there.phase_one.status, SolveStatus::Solved);
  EXPECT_LE(there.certificate->relative_gap, 2 * settings.tolerance);
  EXPECT_GE(there.certificate->relative_gap, -1e-12);

  // The same program on the CPU: a selection may choose otherwise where two candidates are as good as each other.
  const Network& network = there.network;
  const TrainingRows rows(set, there.transform, GetParam(), settings.folds, settings.seed);
  const MomentSpectrum moments = row_moments(rows.design(), rows.targets().weights, pool);
  const GatedMetric metric = gated_metric(moments);
  GatedOperator<float> f(rows.design(), network.gates.view(), pool);
  GatedSettings of_solver{.bias = !pairs, .max_iterations = 20000};
  for (std::size_t p = 0; p < network.neurons(); ++p) {
    const bool linear = std::ranges::all_of(network.gates.row(p), [](float value) { return value == 0; });
    of_solver.group_weights.push_back(linear ? there.chosen.linear_weight : 1.0);
  }
  GatedSolver solver(f, rows.targets(), metric, of_solver);
  solver.solve(there.chosen.penalty, settings.tolerance);
  const Matrix<float>& w = solver.weights().w;
  const Certificate cpu = certify_gated(rows.design(), rows.targets(), network.gates.view(), w.view(),
                                        solver.weights().bias, !pairs, there.chosen.penalty, of_solver.group_weights);
  ASSERT_LE(cpu.relative_gap, 2 * settings.tolerance);
  const double gap_there = there.certificate->objective - there.certificate->dual_objective;
  const double gap_cpu = cpu.objective - cpu.dual_objective;
  EXPECT_NEAR(there.certificate->objective, cpu.objective, std::max(gap_there, gap_cpu));

  // The objective P is the penalty, which is convex, and the losses, whose second derivatives are c or more where
  // predictions are no further off than kNear; so P(w) - P* >= m / 2 |w - w*|^2 with m the least eigenvalue of F'
  // diag(c) F, and P(w) - P* is at most the gap. Single precision enters by the gaps alone: they are of the weights as
  // they are, in double.
  const Matrix<double> design = design_of(there, set, !pairs);
  const std::vector<double> z = times(design, w);
  double longest = 0;
  Matrix<double> curvature(design.cols(), design.cols());
  for (std::size_t i = 0; i < design.rows(); ++i) {
    const double tilted = 1 / (1 + std::exp(-std::abs(z[i] + solver.weights().bias) - kNear));
    const double c = GetParam() == Loss::Squared ? 1 : tilted * (1 - tilted);
    double square = 0;
    for (std::size_t j = 0; j < design.cols(); ++j) {
      square += design(i, j) * design(i, j);
      for (std::size_t k = 0; k < design.cols(); ++k) curvature(j, k) += c * design(i, j) * design(i, k);
    }
    longest = std::max(longest, std::sqrt(square));
  }
  const double m = symmetric_eigen(curvature).values.front();
  ASSERT_GT(m, 0);
  const double allowed = std::sqrt(2 * gap_cpu / m) + std::sqrt(2 * gap_there / m);
  double difference = 0;
  double size = 0;
  for (std::size_t k = 0; k < w.values().size(); ++k) {
    const double value = w.values()[k];
    difference += std::pow(static_cast<double>(network.theta1.values()[k]) - value, 2);
    size += value * value;
  }
  difference = std::sqrt(difference);
  size = std::sqrt(size);
  std::printf("%s: weights of size %.3g differ by %.2g (%.2g allowed), objectives of %.4g by %.2g (%.2g allowed)\n",
              std::string(loss_name(GetParam())).c_str(), size, difference, allowed, cpu.objective,
              std::abs(there.certificate->objective - cpu.objective), std::max(gap_there, gap_cpu));
  EXPECT_LE(difference, allowed);
  EXPECT_LE(allowed * longest, GetParam() == Loss::Squared ? HUGE_VAL : kNear) << "a prediction may be further off";
  EXPECT_GT(difference, 0) << "nothing was computed on the device";

  // On rows that neither has seen a prediction differs by the weights' difference times the row's length, at most: rows
  // with smaller predictions may change their side.
  const FeatureSet unseen = rows_of(pairs, 4000, 7);
  const Matrix<double> far = design_of(there, unseen, /*bias=*/false);
  const std::vector<double> here_z = times(far, w);
  const std::vector<double> there_z = times(far, network.theta1);
  const auto right = [&](const std::vector<double>& predictions) {
    double count = 0;
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      count += (pairs ? 1 : unseen.labels[i]) * (predictions[i] + solver.weights().bias) > 0 ? 1 : 0;
    }
    return count;
  };
  double unsure = 0;
  for (std::size_t i = 0; i < far.rows(); ++i) {
    const double length = std::sqrt(std::inner_product(far.row(i).begin(), far.row(i).end(), far.row(i).begin(), 0.0));
    unsure += std::abs(here_z[i] + solver.weights().bias) <= allowed * length ? 1 : 0;
  }
  EXPECT_NEAR(right(there_z), right(here_z), unsure);
  EXPECT_LE(unsure, 0.1 * 4000) << "the bound says nothing";
  EXPECT_GT(test::accuracy(there.transform, network, unseen),
            test::accuracy(there.baseline_transform, there.baseline, unseen) + 0.02);
}

std::string name_of_loss(const ::testing::TestParamInfo<Loss>& info) {
  std::string name(loss_name(info.param));
  std::erase_if(name, [](unsigned char c) { return std::isalnum(c) == 0; });
  return name;
}

INSTANTIATE_TEST_SUITE_P(Losses, FitAgreement, ::testing::ValuesIn(kLosses), name_of_loss);

}  // namespace
}  // namespace coala
