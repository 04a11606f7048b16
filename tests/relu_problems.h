#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference.h"
#include "solver/relu.h"

/// Small problems of the convex ReLU program, and its optimum by brute force.
namespace coala::test {

/// Owns the rows of a problem.
struct ReluProblem {
  Matrix<float> x;
  std::vector<float> y;
  Matrix<float> gates;

  std::size_t groups() const { return gates.rows(); }
  double open(std::size_t i, std::size_t p) const { return inner(gates.row(p), x.row(i)) >= 0 ? 1.0 : 0.0; }
  double sign(std::size_t i, std::size_t p) const { return 2 * open(i, p) - 1; }
};

/// Labels of a planted ReLU network with noise.
inline ReluProblem random_relu_problem(std::size_t n, std::size_t d, std::size_t groups, std::uint64_t seed) {
  Random random(seed);
  ReluProblem problem;
  problem.x = test::normal_matrix(n, d, random);
  problem.gates = test::normal_matrix(groups, d, random);
  const Matrix<float> truth = test::normal_matrix(2, d, random);
  const ReluProblem& made = problem;
  for (std::size_t i = 0; i < n; ++i) {
    const double z = std::max(0.0, inner(truth.row(0), made.x.row(i))) -
                     std::max(0.0, inner(truth.row(1), made.x.row(i))) + 0.3 * random.normal();
    problem.y.push_back(z > 0 ? 1.0f : -1.0f);
  }
  return problem;
}

inline ReluResult solve_relu(const ReluProblem& problem, double ratio, double tolerance, int threads = 1) {
  ThreadPool pool(threads);
  ReluSolver solver(problem.x.view(), problem.y, problem.gates.view(), pool);
  ReluSettings settings;
  settings.beta = ratio * solver.beta_max();
  settings.tolerance = tolerance;
  settings.max_iterations = 5000;
  return solver.solve(settings);
}

/// For d <= 3: projection onto {u : b_i'u >= 0} by trying every face: the whole space, planes, the lines where two
/// meet, zero.
inline std::vector<double> project_by_faces(const std::vector<std::vector<double>>& b, const std::vector<double>& z) {
  const std::size_t d = z.size();
  std::vector<double> best(d);
  double best_distance = norm(z);
  const auto consider = [&](const std::vector<double>& u) {
    for (const auto& row : b) {
      if (inner(std::span<const double>(row), std::span<const double>(u)) < -1e-12 * norm(z)) return;
    }
    double distance = 0;
    for (std::size_t j = 0; j < d; ++j) distance += (u[j] - z[j]) * (u[j] - z[j]);
    if (std::sqrt(distance) < best_distance) {
      best_distance = std::sqrt(distance);
      best = u;
    }
  };
  const auto without = [&](std::vector<double> u, std::span<const double> q) {
    const double c = inner(std::span<const double>(u), q);
    for (std::size_t j = 0; j < d; ++j) u[j] -= c * q[j];
    return u;
  };
  consider(z);
  for (std::size_t a = 0; a < b.size(); ++a) {
    const std::vector<double> on_plane = without(z, b[a]);
    consider(on_plane);
    for (std::size_t k = 0; k < a; ++k) {
      std::vector<double> second = without(b[k], b[a]);
      const double size = norm(second);
      if (size < 1e-9) continue;
      for (double& value : second) value /= size;
      consider(without(on_plane, second));
    }
  }
  return best;
}

/// Rows of E_p X at length one.
inline std::vector<std::vector<double>> constraints_of(const ReluProblem& problem, std::size_t p) {
  std::vector<std::vector<double>> b;
  for (std::size_t i = 0; i < problem.x.rows(); ++i) {
    const double size = std::sqrt(inner(problem.x.row(i), problem.x.row(i)));
    if (!(size > 0)) continue;
    std::vector<double>& row = b.emplace_back();
    for (const float value : problem.x.row(i)) row.push_back(problem.sign(i, p) * static_cast<double>(value) / size);
  }
  return b;
}

/// The program at u inside the cones, in double; theta [n] receives the residual.
inline double objective_of(const ReluProblem& problem, const Matrix<double>& u, double beta,
                           std::vector<double>* theta) {
  double sum = 0;
  for (std::size_t i = 0; i < problem.x.rows(); ++i) {
    double z = -problem.y[i];
    for (std::size_t p = 0; p < problem.groups(); ++p) {
      if (problem.open(i, p) > 0) {
        z += inner(problem.x.row(i), u.row(p)) - inner(problem.x.row(i), u.row(problem.groups() + p));
      }
    }
    if (theta != nullptr) (*theta)[i] = z;
    sum += z * z / 2;
  }
  for (std::size_t s = 0; s < u.rows(); ++s) sum += beta * norm(u.row(s));
  return sum;
}

/// -+F_p' theta of half s.
inline std::vector<double> descent(const ReluProblem& problem, const std::vector<double>& theta, std::size_t s) {
  const std::size_t p = s % problem.groups();
  std::vector<double> q(problem.x.cols());
  for (std::size_t i = 0; i < problem.x.rows(); ++i) {
    const double factor = (s < problem.groups() ? -1 : 1) * problem.open(i, p) * theta[i];
    for (std::size_t j = 0; j < q.size(); ++j) q[j] += factor * static_cast<double>(problem.x(i, j));
  }
  return q;
}

/// Accelerated proximal gradient with restarts and a fixed step, every projection by faces.
inline Matrix<double> brute_force(const ReluProblem& problem, double beta, int iterations) {
  double trace = 0;  // of F'F over both halves: at least the largest eigenvalue
  for (std::size_t i = 0; i < problem.x.rows(); ++i) {
    for (std::size_t p = 0; p < problem.groups(); ++p) {
      trace += 2 * problem.open(i, p) * inner(problem.x.row(i), problem.x.row(i));
    }
  }
  std::vector<std::vector<std::vector<double>>> cones;
  for (std::size_t p = 0; p < problem.groups(); ++p) cones.push_back(constraints_of(problem, p));
  const std::size_t d = problem.x.cols();
  Matrix<double> u(2 * problem.groups(), d);
  Matrix<double> ahead = u;
  std::vector<double> theta(problem.x.rows());
  double momentum = 1;
  double last = objective_of(problem, u, beta, nullptr);
  for (int k = 0; k < iterations; ++k) {
    objective_of(problem, ahead, beta, &theta);
    Matrix<double> next(u.rows(), d);
    for (std::size_t s = 0; s < u.rows(); ++s) {
      std::vector<double> step = descent(problem, theta, s);
      for (std::size_t j = 0; j < d; ++j) step[j] = ahead(s, j) + step[j] / trace;
      const std::vector<double> inside = project_by_faces(cones[s % problem.groups()], step);
      const double size = norm(inside);
      const double factor = size > beta / trace ? 1 - beta / trace / size : 0.0;
      for (std::size_t j = 0; j < d; ++j) next(s, j) = factor * inside[j];
    }
    const double value = objective_of(problem, next, beta, nullptr);
    const double following = value > last ? 1.0 : (1 + std::sqrt(1 + 4 * momentum * momentum)) / 2;
    const double weight = value > last ? 0.0 : (momentum - 1) / following;
    for (std::size_t k2 = 0; k2 < u.values().size(); ++k2) {
      ahead.values()[k2] = next.values()[k2] + weight * (next.values()[k2] - u.values()[k2]);
    }
    momentum = following;
    last = value;
    u = next;
  }
  return u;
}

}  // namespace coala::test
