#include "solver/cronos.h"

#include <algorithm>
#include <cmath>

#include "core/interrupt.h"
#include "core/resources.h"
#include "linalg/blas.h"

namespace coala {
namespace {

constexpr std::size_t kBlockRows = 256;

template <class T>
Signed<T> zeros(std::size_t rows, std::size_t cols) {
  return {Matrix<T>(rows, cols), Matrix<T>(rows, cols)};
}

/// A [2, P, d] variable as one vector of doubles in the published order, the row-major flattening of [2, d, P].
template <class T>
std::vector<double> flatten(const Signed<T>& w) {
  const std::size_t groups = w[0].rows();
  const std::size_t d = w[0].cols();
  std::vector<double> flat(2 * groups * d);
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t p = 0; p < groups; ++p) {
      for (std::size_t j = 0; j < d; ++j) flat[(half * d + j) * groups + p] = static_cast<double>(w[half](p, j));
    }
  }
  return flat;
}

template <class T>
void unflatten(std::span<const double> flat, Signed<T>& w) {
  const std::size_t groups = w[0].rows();
  const std::size_t d = w[0].cols();
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t p = 0; p < groups; ++p) {
      for (std::size_t j = 0; j < d; ++j) w[half](p, j) = static_cast<T>(flat[(half * d + j) * groups + p]);
    }
  }
}

template <class T>
double inner(const Signed<T>& a, const Signed<T>& b) {
  return dot(std::span<const T>(a[0].values()), b[0].values()) + dot(std::span<const T>(a[1].values()), b[1].values());
}

/// y += alpha x
template <class T>
void add(double alpha, const Signed<T>& x, Signed<T>& y) {
  for (std::size_t half = 0; half < 2; ++half) {
    const auto from = x[half].values();
    const auto to = y[half].values();
    for (std::size_t k = 0; k < from.size(); ++k) to[k] = static_cast<T>(to[k] + alpha * from[k]);
  }
}

/// prox of t sum_p ||.||: shrinks each row of each half.
template <class T>
void shrink(Signed<T>& w, double t) {
  for (Matrix<T>& half : w) {
    for (std::size_t p = 0; p < half.rows(); ++p) {
      const double size = std::sqrt(dot(std::span<const T>(half.row(p)), half.row(p)));
      const double factor = size > t ? 1 - t / size : 0.0;
      for (T& value : half.row(p)) value = static_cast<T>(factor * value);
    }
  }
}

/// Of F'F: every conjugate-gradient step, and the sketch.
std::size_t applications(const CronosSettings& settings) {
  const auto steps =
      static_cast<std::size_t>(settings.admm_iterations) * static_cast<std::size_t>(settings.pcg_max_iterations);
  return steps + static_cast<std::size_t>(settings.nystrom_rank);
}

}  // namespace

template <class T>
Cronos<T>::Cronos(GatedOperator<T>& f, const Matrix<std::uint8_t>& pattern, std::span<const T> y,
                  CronosSettings settings, ThreadPool& pool, const Deadline& deadline)
    : setup_s_(-monotonic_s()),
      f_(&f),
      normal_(f, pattern, applications(settings), settings.normal, deadline),
      pattern_(&pattern),
      settings_(settings),
      pool_(&pool),
      deadline_(deadline),
      gram_(f.dimension(), f.dimension()) {
  const std::size_t groups = f.groups();
  const std::size_t d = f.dimension();
  state_.u = state_.v = state_.lambda = zeros<T>(groups, d);
  state_.s = state_.nu = zeros<T>(f.rows(), groups);

  std::vector<Matrix<T>> sums(static_cast<std::size_t>(pool.size()));
  const StoredRows& x = f.design().segments.front().plus;
  pool.for_parts(x.rows(), kBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
    Matrix<T>& sum = sums[static_cast<std::size_t>(worker)];
    sum = Matrix<T>(d, d);
    Matrix<T> scratch;
    for (std::size_t at = begin; at < end; at += kBlockRows) {
      deadline_.check();
      const auto part = f.design().block(x, at, std::min(at + kBlockRows, end), scratch);
      gemm(true, false, T(1), part, part, T(1), sum.view());
    }
  });
  for (const Matrix<T>& sum : sums) {
    for (std::size_t k = 0; k < sum.values().size(); ++k) gram_.values()[k] += sum.values()[k];
  }

  fty_over_rho_ = zeros<T>(groups, d);
  f.adjoint(y, fty_over_rho_[0].view());
  for (std::size_t k = 0; k < groups * d; ++k) {
    const double value = fty_over_rho_[0].values()[k] / settings.rho;
    fty_over_rho_[0].values()[k] = static_cast<T>(value);
    fty_over_rho_[1].values()[k] = static_cast<T>(-value);
  }
  setup_s_ += monotonic_s();
}

template <class T>
void Cronos<T>::apply(const Signed<T>& in, Signed<T>& out) {
  deadline_.check();
  // E_p^2 = I, so G'G is X'X in both halves; the loss sees the difference of the halves only. One application
  // of F'F serves both, where the published code makes three passes over X per half.
  const std::size_t groups = f_->groups();
  const std::size_t d = f_->dimension();
  Matrix<T> difference(groups, d);
  for (std::size_t k = 0; k < groups * d; ++k) difference.values()[k] = in[0].values()[k] - in[1].values()[k];
  Matrix<T> normal(groups, d);
  normal_.apply(static_cast<const Matrix<T>&>(difference).view(), normal.view());
  for (std::size_t half = 0; half < 2; ++half) {
    gemm(false, false, T(1), in[half].view(), gram_.view(), T(0), out[half].view());
    const double sign = half == 0 ? 1 : -1;
    for (std::size_t k = 0; k < groups * d; ++k) {
      out[half].values()[k] =
          static_cast<T>(out[half].values()[k] + in[half].values()[k] + sign * normal.values()[k] / settings_.rho);
    }
  }
}

template <class T>
void Cronos<T>::constraint(const Signed<T>& w, Signed<T>& out) const {
  const StoredRows& x = f_->design().segments.front().plus;
  pool_->for_parts(x.rows(), kBlockRows, [&](int, std::size_t begin, std::size_t end) {
    Matrix<T> scratch;
    for (std::size_t at = begin; at < end; at += kBlockRows) {
      const std::size_t to = std::min(at + kBlockRows, end);
      const MatrixView<const T> part = f_->design().block(x, at, to, scratch);
      for (std::size_t half = 0; half < 2; ++half) {
        gemm(false, true, T(1), part, w[half].view(), T(0), out[half].view().row_range(at, to));
        for (std::size_t i = at; i < to; ++i) {
          for (std::size_t p = 0; p < f_->groups(); ++p) {
            if ((*pattern_)(i, p) == 0) out[half](i, p) = -out[half](i, p);
          }
        }
      }
    }
  });
}

template <class T>
void Cronos<T>::constraint_adjoint(const Signed<T>& s, Signed<T>& out) const {
  const StoredRows& x = f_->design().segments.front().plus;
  const std::size_t groups = f_->groups();
  std::vector<Signed<T>> sums(static_cast<std::size_t>(pool_->size()));
  pool_->for_parts(x.rows(), kBlockRows, [&](int worker, std::size_t begin, std::size_t end) {
    Signed<T>& sum = sums[static_cast<std::size_t>(worker)];
    sum = zeros<T>(groups, f_->dimension());
    Matrix<T> signed_s(kBlockRows, groups);
    Matrix<T> scratch;
    for (std::size_t at = begin; at < end; at += kBlockRows) {
      const std::size_t count = std::min(kBlockRows, end - at);
      const MatrixView<const T> part = f_->design().block(x, at, at + count, scratch);
      for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t i = 0; i < count; ++i) {
          for (std::size_t p = 0; p < groups; ++p) {
            const T value = s[half](at + i, p);
            signed_s(i, p) = (*pattern_)(at + i, p) != 0 ? value : -value;
          }
        }
        gemm(true, false, T(1), MatrixView<const T>(signed_s.data(), count, groups), part, T(1), sum[half].view());
      }
    }
  });
  out = zeros<T>(groups, f_->dimension());
  for (const Signed<T>& sum : sums) {
    if (sum[0].rows() > 0) add(1.0, sum, out);
  }
}

template <class T>
void Cronos<T>::solve_u(const Signed<T>& rhs) {
  const auto precondition = [&](const Signed<T>& r) {
    const std::vector<double> flat = flatten(r);
    std::vector<double> z(flat.size());
    preconditioner_->apply(flat, z);
    Signed<T> result = zeros<T>(f_->groups(), f_->dimension());
    unflatten<T>(z, result);
    return result;
  };
  Signed<T> u = zeros<T>(f_->groups(), f_->dimension());
  Signed<T> residual = rhs;
  Signed<T> z = precondition(residual);
  Signed<T> direction = z;
  Signed<T> product = zeros<T>(f_->groups(), f_->dimension());
  double rz = inner(residual, z);
  state_.pcg_iterations = 0;
  state_.pcg_residual = std::sqrt(inner(residual, residual));
  while (state_.pcg_iterations < settings_.pcg_max_iterations && state_.pcg_residual > settings_.pcg_tolerance) {
    apply(direction, product);
    const double alpha = rz / inner(direction, product);
    add(alpha, direction, u);
    add(-alpha, product, residual);
    z = precondition(residual);
    const double next = inner(residual, z);
    for (std::size_t half = 0; half < 2; ++half) {
      for (std::size_t k = 0; k < direction[half].values().size(); ++k) {
        direction[half].values()[k] = static_cast<T>(z[half].values()[k] + next / rz * direction[half].values()[k]);
      }
    }
    rz = next;
    ++state_.pcg_iterations;
    state_.pcg_residual = std::sqrt(inner(residual, residual));
  }
  cg_iterations_ += state_.pcg_iterations;
  state_.u = std::move(u);
}

template <class T>
void Cronos<T>::step() {
  const std::size_t groups = f_->groups();
  const std::size_t d = f_->dimension();
  if (!preconditioner_) {
    preconditioner_ = sketch_nystrom(2 * groups * d, static_cast<std::size_t>(settings_.nystrom_rank), settings_.rho,
                                     settings_.seed, [&](std::span<const double> in, std::span<double> out) {
                                       Signed<T> w = zeros<T>(groups, d);
                                       Signed<T> product = zeros<T>(groups, d);
                                       unflatten<T>(in, w);
                                       apply(w, product);
                                       const std::vector<double> flat = flatten(product);
                                       std::copy(flat.begin(), flat.end(), out.begin());
                                     });
  }
  // u: (I + F'F/rho + G'G) u = F'y/rho + v - lambda + G'(s - nu)
  Signed<T> slack = state_.s;
  add(-1.0, state_.nu, slack);
  Signed<T> rhs;
  constraint_adjoint(slack, rhs);
  add(1.0, fty_over_rho_, rhs);
  add(1.0, state_.v, rhs);
  add(-1.0, state_.lambda, rhs);
  solve_u(rhs);

  // v = prox_{beta/rho}(u + lambda)
  state_.v = state_.u;
  add(1.0, state_.lambda, state_.v);
  shrink(state_.v, settings_.beta / settings_.rho);
  // s = max(G u + nu, 0), then both multipliers
  constraint(state_.u, slack);
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t k = 0; k < slack[half].values().size(); ++k) {
      const T value = slack[half].values()[k] + state_.nu[half].values()[k];
      state_.s[half].values()[k] = std::max(value, T(0));
      state_.nu[half].values()[k] = std::min(value, T(0));  // nu + Gu - s
    }
  }
  add(1.0, state_.u, state_.lambda);
  add(-1.0, state_.v, state_.lambda);
}

template <class T>
SolveInfo Cronos<T>::run() {
  const double start_s = monotonic_s();
  const std::uint64_t first_pass = f_->passes();
  const double first_flops = f_->flops();
  SolveInfo info;
  info.status = SolveStatus::IterationLimit;
  for (int k = 0; k < settings_.admm_iterations; ++k) {
    if (interrupted()) {
      info.status = SolveStatus::Interrupted;
      break;
    }
    try {
      step();
    } catch (const Late&) {
      if (k == 0) throw;
      info.status = SolveStatus::TimeLimit;
      break;
    }
    ++info.iterations;
  }
  info.cg_iterations = cg_iterations_;
  info.passes_over_x = f_->passes() - first_pass + normal_.passes();
  info.flops = f_->flops() - first_flops + normal_.flops();
  info.seconds = setup_s_ + monotonic_s() - start_s;
  return info;
}

template <class T>
ReluWeights<T> relu_weights(const Signed<T>& u) {
  const std::size_t groups = u[0].rows();
  const std::size_t d = u[0].cols();
  ReluWeights<T> network;
  network.theta1 = Matrix<T>(d, 2 * groups);
  network.theta2.assign(2 * groups, T(0));
  for (std::size_t half = 0; half < 2; ++half) {
    for (std::size_t p = 0; p < groups; ++p) {
      const auto w = u[half].row(p);
      const double size = std::sqrt(dot(std::span<const T>(w), w));
      if (!(size > 0)) continue;
      const double root = std::sqrt(size);
      const std::size_t column = half * groups + p;
      for (std::size_t j = 0; j < d; ++j) network.theta1(j, column) = static_cast<T>(w[j] / root);
      network.theta2[column] = static_cast<T>(half == 0 ? root : -root);
    }
  }
  return network;
}

template class Cronos<float>;
template class Cronos<double>;
template ReluWeights<float> relu_weights(const Signed<float>&);
template ReluWeights<double> relu_weights(const Signed<double>&);

}  // namespace coala
