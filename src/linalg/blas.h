#pragma once

#include <span>

#include "core/matrix.h"

namespace coala {

/// C = alpha op(A) op(B) + beta C on row-major matrices, on the calling thread alone: parallel loops run above this.
/// Shapes must agree (checked by assertion only; callers are in solver and head).
void gemm(bool transpose_a, bool transpose_b, float alpha, MatrixView<const float> a, MatrixView<const float> b,
          float beta, MatrixView<float> c);
void gemm(bool transpose_a, bool transpose_b, double alpha, MatrixView<const double> a, MatrixView<const double> b,
          double beta, MatrixView<double> c);

/// y = op(A) x on the calling thread, in double: numbers of A in single precision, x and y may span many magnitudes.
void gemv(bool transpose, MatrixView<const float> a, std::span<const double> x, std::span<double> y);

/// Inner product, accumulated in double whatever the type. Of numbers of single precision it is the same whether they
/// have been widened or not; a row that meets many others is better widened once.
double dot(std::span<const float> x, std::span<const float> y);
double dot(std::span<const float> x, std::span<const double> y);
double dot(std::span<const double> x, std::span<const double> y);

/// ||x||_2.
double norm(std::span<const float> x);
double norm(std::span<const double> x);

}  // namespace coala
