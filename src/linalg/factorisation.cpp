#include "linalg/factorisation.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "linalg/blas.h"

// LAPACK's Fortran interface: Debian's OpenBLAS carries it without the C header.
extern "C" {
void dsyevd_(const char* job, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void dpotri_(const char* uplo, const int* n, double* a, const int* lda, int* info);
void sgeqrf_(const int* m, const int* n, float* a, const int* lda, float* tau, float* work, const int* lwork,
             int* info);
void sorgqr_(const int* m, const int* n, const int* k, float* a, const int* lda, const float* tau, float* work,
             const int* lwork, int* info);
void slarft_(const char* direct, const char* stored, const int* n, const int* k, const float* v, const int* ldv,
             const float* tau, float* t, const int* ldt);
}

namespace coala {
namespace {

constexpr std::size_t kBlock = 64;  ///< columns that LAPACK works on at once

/// Householder reflections of the QR factorisation of `rows` transposed, in their place; row-major rows are LAPACK's
/// columns.
std::vector<float> reflect(Matrix<float>& rows) {
  const int d = static_cast<int>(rows.cols());
  const int r = static_cast<int>(rows.rows());
  std::vector<float> tau(rows.rows());
  std::vector<float> work(kBlock * rows.rows());
  const int size = static_cast<int>(work.size());
  int info = 0;
  sgeqrf_(&d, &r, rows.data(), &d, tau.data(), work.data(), &size, &info);
  return tau;
}

}  // namespace

void orthonormalise_rows(Matrix<float>& rows) {
  if (rows.rows() == 0) return;
  const std::vector<float> tau = reflect(rows);
  const int d = static_cast<int>(rows.cols());
  const int r = static_cast<int>(rows.rows());
  std::vector<float> work(kBlock * rows.rows());
  const int size = static_cast<int>(work.size());
  int info = 0;
  sorgqr_(&d, &r, &r, rows.data(), &d, tau.data(), work.data(), &size, &info);
}

BlockReflector::BlockReflector(Matrix<float> vectors) : v_(std::move(vectors)), t_(v_.rows(), v_.rows()) {
  if (v_.rows() == 0) return;
  const std::vector<float> tau = reflect(v_);
  const int d = static_cast<int>(v_.cols());
  const int r = static_cast<int>(v_.rows());
  slarft_("F", "C", &d, &r, v_.data(), &d, tau.data(), t_.data(), &r);
  for (std::size_t k = 0; k < v_.rows(); ++k) {  // what LAPACK implies
    std::fill_n(v_.row(k).begin(), k, 0.0f);
    v_(k, k) = 1;
  }
}

double symmetric_eigen_s(std::size_t n) {
  constexpr double kSecondsPerCube = 0.4e-9;
  const auto size = static_cast<double>(n);
  return kSecondsPerCube * size * size * size;
}

SymmetricEigen symmetric_eigen(Matrix<double> a) {
  const int n = static_cast<int>(a.rows());
  SymmetricEigen result;
  result.values.resize(a.rows());
  if (n == 0) return result;
  // LAPACK may answer NaN or infinity with more of them and call it a success.
  if (!std::all_of(a.values().begin(), a.values().end(), [](double value) { return std::isfinite(value); })) {
    throw Error(ErrorCode::BadInput, "an eigenvalue decomposition was asked of a matrix that is not finite",
                "scale the features down");
  }
  int info = 0;
  int query = -1;
  double work_size = 0;
  int iwork_size = 0;
  dsyevd_("V", "L", &n, a.data(), &n, result.values.data(), &work_size, &query, &iwork_size, &query, &info);
  std::vector<double> work(static_cast<std::size_t>(work_size));
  std::vector<int> iwork(static_cast<std::size_t>(iwork_size));
  const int lwork = static_cast<int>(work.size());
  const int liwork = static_cast<int>(iwork.size());
  // Column-major on their side: the eigenvectors come out as our rows.
  dsyevd_("V", "L", &n, a.data(), &n, result.values.data(), work.data(), &lwork, iwork.data(), &liwork, &info);
  if (info != 0) throw Error(ErrorCode::BadInput, "an eigenvalue decomposition did not converge");
  result.vectors = std::move(a);
  return result;
}

std::optional<Cholesky> Cholesky::factor(Matrix<double> a) {
  const int n = static_cast<int>(a.rows());
  int info = 0;
  if (n > 0) dpotrf_("L", &n, a.data(), &n, &info);
  if (info != 0) return std::nullopt;
  // OpenBLAS lets NaN and infinity pass; both reach the diagonal of the factor.
  for (std::size_t j = 0; j < a.rows(); ++j) {
    if (!std::isfinite(a(j, j))) return std::nullopt;
  }
  return Cholesky(std::move(a));
}

Matrix<double> Cholesky::inverse() const {
  Matrix<double> inverse = factor_;
  const int n = static_cast<int>(inverse.rows());
  int info = 0;
  if (n > 0) dpotri_("L", &n, inverse.data(), &n, &info);
  if (info != 0) throw Error(ErrorCode::Internal, "a factor with a zero on its diagonal");
  for (std::size_t i = 0; i < inverse.rows(); ++i) {
    for (std::size_t j = 0; j < i; ++j) inverse(i, j) = inverse(j, i);  // their lower half is our upper one
  }
  return inverse;
}

void Cholesky::solve(std::span<double> b) const {
  const int n = static_cast<int>(factor_.rows());
  if (n == 0) return;
  // L of the column-major view is the upper triangle of ours.
  cblas_dtrsv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, n, factor_.data(), n, b.data(), 1);
  cblas_dtrsv(CblasColMajor, CblasLower, CblasTrans, CblasNonUnit, n, factor_.data(), n, b.data(), 1);
}

}  // namespace coala
