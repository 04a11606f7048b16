#include "solver/design_rows.h"

namespace coala {

template <class T>
void DesignRows<T>::read(const StoredRows& side, std::size_t i, std::size_t first, std::span<T> x) const {
  side.read(i, first, x);
  if (transform) transform->apply(std::span<const T>(x), x, first);
}

template <class T>
MatrixView<const T> DesignRows<T>::block(const StoredRows& side, std::size_t begin, std::size_t end,
                                         Matrix<T>& scratch) const {
  if (!transform) {
    if (const auto dense = side.dense<T>(begin, end)) return *dense;
  }
  if (scratch.rows() < end - begin || scratch.cols() != side.cols()) scratch = Matrix<T>(end - begin, side.cols());
  for (std::size_t i = begin; i < end; ++i) read(side, i, 0, scratch.row(i - begin));
  return MatrixView<const T>(scratch.data(), end - begin, side.cols());
}

template struct DesignRows<float>;
template struct DesignRows<double>;

}  // namespace coala
