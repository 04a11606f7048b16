#include "features/token_basis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

constexpr const char* kStates = "token_basis/states";
constexpr const char* kEmbeddings = "token_basis/embeddings";
constexpr const char* kSampleResiduals = "token_basis/sample_residuals";
constexpr const char* kSampleStates = "token_basis/sample_states";

Error corrupt(const SafetensorsFile& file, const std::string& what) {
  return Error(ErrorCode::CorruptFile, fmt::format("{}: {}", file.path().string(), what),
               "make it again with `coala extract --token-rank`");
}

Matrix<float> read_matrix(const SafetensorsFile& file, const char* name) {
  const TensorView& view = file.tensor(name);
  if (view.shape.size() != 2 || view.count() == 0) throw corrupt(file, fmt::format("'{}' is no matrix", name));
  const std::vector<float> values = file.read_f32(name);
  if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
    throw corrupt(file, fmt::format("'{}' holds a number that is not finite", name));
  }
  return {view.shape[0], view.shape[1], AlignedVector<float>(values.begin(), values.end())};
}

}  // namespace

std::string TokenBasis::hash() const {
  Hasher hasher;
  for (const FileTensor& tensor : tensors_of(*this)) {
    hasher.add(tensor.name).add(tensor.values.data(), tensor.values.size_bytes());
  }
  return hasher.hex();
}

std::vector<double> mean_state(const TokenBasis& basis) {
  std::vector<double> mean(basis.rank());
  for (std::size_t i = 0; i < basis.sample_states.rows(); ++i) {
    for (std::size_t a = 0; a < mean.size(); ++a) {
      mean[a] += static_cast<double>(basis.sample_states(i, a)) / static_cast<double>(basis.sample_states.rows());
    }
  }
  return mean;
}

std::vector<FileTensor> tensors_of(const TokenBasis& basis) {
  const std::vector<std::size_t> matrix{basis.rank(), basis.dimension()};
  const std::vector<std::size_t> sample{basis.sample_states.rows(), basis.rank()};
  return {{kEmbeddings, matrix, basis.embeddings.values()},
          {kSampleResiduals, sample, basis.sample_residuals.values()},
          {kSampleStates, sample, basis.sample_states.values()},
          {kStates, matrix, basis.states.values()}};
}

bool has_token_basis(const SafetensorsFile& file) {
  return file.contains(kStates);
}

TokenBasis read_token_basis(const SafetensorsFile& file) {
  TokenBasis basis{read_matrix(file, kStates), read_matrix(file, kEmbeddings), read_matrix(file, kSampleStates),
                   read_matrix(file, kSampleResiduals)};
  const std::size_t r = basis.rank();
  if (basis.embeddings.rows() != r || basis.embeddings.cols() != basis.dimension() || basis.sample_states.cols() != r ||
      basis.sample_residuals.cols() != r || basis.sample_residuals.rows() != basis.sample_states.rows()) {
    throw corrupt(file, "the tensors of the token basis do not fit together");
  }
  return basis;
}

}  // namespace coala
