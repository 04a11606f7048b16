// How many conjugate-gradient iterations does the u-step of the convex ReLU program take to a relative residual of
// 1e-6: without a preconditioner, with the published Nystrom sketch of rank 20 of the whole operator, with one share C
// for all directions, and with ours? (+: stopped at the limit.) The right-hand side is that of the first ADMM
// iteration, F'y / rho.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "core/resources.h"
#include "core/safetensors.h"
#include "solver/conjugate_gradients.h"
#include "solver/gates.h"
#include "solver/kronecker.h"
#include "solver/nystrom.h"

namespace {

using namespace coala;

constexpr std::size_t kMostRows = 25000;
constexpr std::size_t kGates = 10;
constexpr int kMostIterations = 5000;

struct Data {
  Matrix<float> x;
  std::vector<float> y;
};

/// The first rows of a feature file as pointwise rows; of pairs, chosen and rejected alternate.
Data load(const std::string& path) {
  const SafetensorsFile file(path);
  Data data;
  const bool pairs = file.contains("chosen");
  const std::size_t d = file.tensor(pairs ? "chosen" : "features").shape.at(1);
  const std::vector<float> first = file.read_f32(pairs ? "chosen" : "features");
  const std::vector<float> second = pairs ? file.read_f32("rejected") : std::vector<float>();
  const std::vector<std::int64_t> labels = pairs ? std::vector<std::int64_t>() : file.read_i64("labels");
  const std::size_t n = std::min(kMostRows, (first.size() + second.size()) / d);
  data.x = Matrix<float>(n, d);
  for (std::size_t i = 0; i < n; ++i) {
    const std::vector<float>& from = pairs && i % 2 == 1 ? second : first;
    std::copy_n(from.begin() + static_cast<long>((pairs ? i / 2 : i) * d), d, data.x.row(i).begin());
    data.y.push_back(pairs ? (i % 2 == 0 ? 1.0f : -1.0f) : static_cast<float>(labels[i]));
  }
  return data;
}

void standardise(Matrix<float>& x) {
  for (std::size_t j = 0; j < x.cols(); ++j) {
    double sum = 0;
    double squares = 0;
    for (std::size_t i = 0; i < x.rows(); ++i) sum += x(i, j);
    const double mean = sum / static_cast<double>(x.rows());
    for (std::size_t i = 0; i < x.rows(); ++i) squares += (x(i, j) - mean) * (x(i, j) - mean);
    const double deviation = std::sqrt(squares / static_cast<double>(x.rows()));
    const double scale = deviation > 0 ? 1 / deviation : 0.0;
    for (std::size_t i = 0; i < x.rows(); ++i) x(i, j) = static_cast<float>((x(i, j) - mean) * scale);
  }
}

std::string shown(const PcgResult& count) {
  return fmt::format("{:>6}{}", count.iterations,
                     count.status == PcgStatus::Converged        ? " "
                     : count.status == PcgStatus::IterationLimit ? "+"
                                                                 : "!");
}

void compare(const std::string& name, const Data& data, ThreadPool& pool, std::vector<double>& ratios) {
  const MatrixView<const float> x = data.x.view();
  const std::size_t d = x.cols;
  const Matrix<float> gates = draw_gates(kGates, d, 0);
  const Matrix<std::uint8_t> pattern = gate_pattern(x, gates.view(), pool);
  GatedOperator<float> f(DesignRows<float>{{{x, {}}}}, pattern, pool);
  double start_s = monotonic_s();
  const RowSpectrum spectrum = row_spectrum(x, pool);
  const double spectrum_s = monotonic_s() - start_s;
  start_s = monotonic_s();
  const GateMoments moments = gate_moments(x, pattern, spectrum, pool);
  const double moments_s = monotonic_s() - start_s;
  const GateMoments one_share = gate_moments(x, pattern, spectrum, pool, {0, false});
  NormalOperator<float> normal(f, pattern, 1, NormalMethod::Passes);
  NormalSystem system(normal, spectrum);
  const LinearMap apply = [&](auto in, auto out) { system.apply(in, out); };

  Matrix<float> fty(kGates, d);
  f.adjoint(data.y, fty.view());
  fmt::print("{}: n = {}, d = {}, rank {}; spectrum {:.1f} s, moments {:.1f} s\n", name, x.rows, d,
             spectrum.values.size(), spectrum_s, moments_s);
  fmt::print("              none  nystrom  S (x) C  ours  ours against nystrom\n");
  for (const double rho : {1e-4, 1e-2, 1.0}) {
    const NormalCoefficients coefficients{1, 1, 2 / rho};
    system.set(coefficients);
    // Half-difference a of the two halves; the half-sum c starts and stays at zero, since F'y has opposite signs.
    std::vector<double> rhs(kGates * d);
    for (std::size_t k = 0; k < rhs.size(); ++k) rhs[k] = std::sqrt(2.0) * fty.values()[k] / rho;
    const auto run = [&](const LinearMap& precondition) {
      std::vector<double> solution(rhs.size());
      return conjugate_gradients(apply, precondition, rhs, solution, {1e-6, 0, kMostIterations});
    };
    const PcgResult none = run([](auto r, auto z) { std::ranges::copy(r, z.begin()); });
    // The published sketch is of both halves; in the coordinates (a, c) the operator is block diagonal, and a Gaussian
    // sketch does not depend on the choice of orthonormal coordinates.
    NormalSystem sum_system(normal, spectrum);
    sum_system.set({1, 1, 0});
    const NystromPreconditioner nystrom =
        sketch_nystrom(2 * rhs.size(), 20, rho, 0, [&](std::span<const double> in, std::span<double> out) {
          system.apply(in.first(rhs.size()), out.first(rhs.size()));
          sum_system.apply(in.last(rhs.size()), out.last(rhs.size()));
        });
    const LinearMap whole = [&](auto in, auto to) {
      system.apply(in.first(rhs.size()), to.first(rhs.size()));
      sum_system.apply(in.last(rhs.size()), to.last(rhs.size()));
    };
    std::vector<double> whole_rhs = rhs;
    whole_rhs.resize(2 * rhs.size());
    std::vector<double> whole_solution(whole_rhs.size());
    const PcgResult sketched = conjugate_gradients(whole, [&](auto r, auto z) { nystrom.apply(r, z); }, whole_rhs,
                                                   whole_solution, {1e-6, 0, kMostIterations});
    const auto preconditioned = [&](const GateMoments& parts) {
      KroneckerPreconditioner preconditioner(spectrum, parts, kGates);
      preconditioner.set(coefficients);
      return run([&](auto r, auto z) { preconditioner.apply(r, z); });
    };
    const PcgResult plain = preconditioned(one_share);
    const PcgResult own = preconditioned(moments);
    ratios.push_back(static_cast<double>(sketched.iterations) / own.iterations);
    fmt::print("  rho {:<7g} {} {} {} {}  {:6.1f}x\n", rho, shown(none), shown(sketched), shown(plain), shown(own),
               ratios.back());
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    ThreadPool pool;
    std::vector<double> ratios;
    for (int k = 1; k < argc; ++k) {
      Data data = load(argv[k]);
      const std::string path = argv[k];
      const std::string name = path.substr(path.find_last_of('/') + 1);
      compare(name + " raw", data, pool, ratios);
      standardise(data.x);
      compare(name + " standardised", data, pool, ratios);
    }
    if (ratios.empty()) return 2;
    std::sort(ratios.begin(), ratios.end());
    fmt::print("Nystrom-20 over Kronecker: median {:.1f}, least {:.1f}, most {:.1f}\n", ratios[ratios.size() / 2],
               ratios.front(), ratios.back());
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
