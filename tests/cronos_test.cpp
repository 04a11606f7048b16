// The published implementation's iterates, reproduced (golden data in ../shared/reference).
#include "solver/cronos.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "core/safetensors.h"
#include "support.h"

namespace coala {
namespace {

Matrix<double> matrix(const SafetensorsFile& file, const std::string& name) {
  const auto& shape = file.tensor(name).shape;
  Matrix<double> result(shape.at(0), shape.at(1));
  const std::vector<double> values = file.read_f64(name);
  std::copy(values.begin(), values.end(), result.values().begin());
  return result;
}

/// A golden [2, rows, P] tensor against ours, which has [P, rows] or [rows, P] halves; the relative error in the
/// Frobenius norm, NaN if anything is NaN.
double relative_error(const SafetensorsFile& file, const std::string& name, const Signed<double>& ours,
                      bool transposed) {
  const std::vector<double> golden = file.read_f64(name);
  const auto& shape = file.tensor(name).shape;
  double error = 0;
  double size = 0;
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t i = 0; i < shape.at(1); ++i) {
      for (std::size_t p = 0; p < shape.at(2); ++p) {
        const double expected = golden[(half * shape[1] + i) * shape[2] + p];
        const double found = transposed ? ours[half](p, i) : ours[half](i, p);
        error += (found - expected) * (found - expected);
        size += expected * expected;
      }
    }
  }
  return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
}

struct Golden {
  const char* file;
  double tolerance;  ///< relative, for every iterate of every iteration
  NormalMethod normal;
};

class CronosGolden : public ::testing::TestWithParam<Golden> {};

TEST_P(CronosGolden, EveryIterateAgrees) {
  const auto path = test::shared_file(std::string("reference/") + GetParam().file);
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no ../shared/reference/" << GetParam().file;
  const SafetensorsFile file(path);
  const Matrix<double> x = matrix(file, "x");
  const std::vector<double> y = file.read_f64("y");
  const Matrix<double> gates = matrix(file, "gates");
  Matrix<std::uint8_t> pattern(gates.rows(), gates.cols());
  for (std::size_t k = 0; k < pattern.values().size(); ++k) pattern.values()[k] = gates.values()[k] != 0 ? 1 : 0;

  CronosSettings settings;
  settings.beta = std::stod(file.metadata().at("beta"));
  settings.rho = std::stod(file.metadata().at("rho"));
  settings.admm_iterations = std::stoi(file.metadata().at("admm_iterations"));
  settings.pcg_max_iterations = std::stoi(file.metadata().at("pcg_max_iterations"));
  settings.normal = GetParam().normal;

  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    GatedOperator<double> f(DesignRows<double>{{{x.view(), {}}}}, pattern, pool);
    Cronos<double> cronos(f, pattern, y, settings, pool);
    double worst = 0;
    cronos.set_preconditioner({matrix(file, "nystrom_u"), file.read_f64("nystrom_s"), settings.rho});
    for (int k = 1; k <= settings.admm_iterations; ++k) {
      cronos.step();
      const std::string prefix = "iter" + std::to_string(k) + "/";
      const CronosState<double>& state = cronos.state();
      const auto check = [&](const char* name, const Signed<double>& ours, bool transposed) {
        const double error = relative_error(file, prefix + name, ours, transposed);
        EXPECT_LE(error, GetParam().tolerance) << prefix << name;
        worst = std::max(worst, error);
      };
      check("u", state.u, true);
      check("v", state.v, true);
      check("lambda", state.lambda, true);
      check("s", state.s, false);
      check("nu", state.nu, false);
      RecordProperty(prefix + "pcg", state.pcg_iterations);
    }
    RecordProperty("worst", fmt::format("{:.1e}", worst));
    const ReluWeights<double> network = relu_weights(cronos.state().u);
    const Matrix<double> theta1 = matrix(file, "theta1");
    const std::vector<double> theta2 = file.read_f64("theta2");
    double largest = 0;
    for (const double value : theta1.values()) largest = std::max(largest, std::abs(value));
    for (std::size_t j = 0; j < theta2.size(); ++j) {
      EXPECT_NEAR(network.theta2[j], theta2[j], GetParam().tolerance * std::abs(theta2[j]) * 10) << j;
      for (std::size_t i = 0; i < theta1.rows(); ++i) {
        EXPECT_NEAR(network.theta1(i, j), theta1(i, j), GetParam().tolerance * largest * 10) << i << " " << j;
      }
    }
  }
}

// Converged: two codes that stop conjugate gradients at an absolute residual of 1e-6 agree to about that over the size
// of the iterate. Truncated: after 32 steps rounding has been amplified by the conditioning of the system.
INSTANTIATE_TEST_SUITE_P(Published, CronosGolden,
                         ::testing::Values(Golden{"cronos_converged_pcg.safetensors", 1e-6, NormalMethod::Passes},
                                           Golden{"cronos_converged_pcg.safetensors", 1e-6, NormalMethod::Gram},
                                           Golden{"cronos_strong_penalty.safetensors", 1e-6, NormalMethod::Passes},
                                           Golden{"cronos_strong_penalty.safetensors", 1e-6, NormalMethod::Gram},
                                           Golden{"cronos_truncated_pcg.safetensors", 1e-3, NormalMethod::Passes},
                                           Golden{"cronos_truncated_pcg.safetensors", 1e-3, NormalMethod::Gram}),
                         [](const auto& param) {
                           std::string name = param.param.file;
                           return name.substr(0, name.find('.')) +
                                  (param.param.normal == NormalMethod::Gram ? "_gram" : "_passes");
                         });

}  // namespace
}  // namespace coala
