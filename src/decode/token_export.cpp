#include "decode/token_export.h"

namespace coala {

OutputChange output_change(const TokenHead& head, const OutputMatrix& output, double scale) {
  const Matrix<float> table = output.table(head.embeddings);
  const double factor = scale / static_cast<double>(output.scale());
  const std::size_t r = head.rank();
  OutputChange change{head.states, Matrix<float>(output.vocabulary(), r)};
  for (std::size_t c = 0; c < output.vocabulary(); ++c) {
    for (std::size_t a = 0; a < r; ++a) {
      double sum = 0;
      for (std::size_t b = 0; b < r; ++b)
        sum += static_cast<double>(head.weights(a, b)) * static_cast<double>(table(b, c));
      change.b(c, a) = static_cast<float>(factor * sum);
    }
  }
  return change;
}

}  // namespace coala
