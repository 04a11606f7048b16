#include "linalg/factorisation.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"

// LAPACK's Fortran interface: Debian's OpenBLAS carries it without the C header.
extern "C" {
void dsyevd_(const char* job, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info);
void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);
}

namespace coala {

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

void Cholesky::solve(std::span<double> b) const {
  const int n = static_cast<int>(factor_.rows());
  if (n == 0) return;
  // L of the column-major view is the upper triangle of ours.
  cblas_dtrsv(CblasColMajor, CblasLower, CblasNoTrans, CblasNonUnit, n, factor_.data(), n, b.data(), 1);
  cblas_dtrsv(CblasColMajor, CblasLower, CblasTrans, CblasNonUnit, n, factor_.data(), n, b.data(), 1);
}

}  // namespace coala
