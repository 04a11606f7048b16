#include "head/token_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "core/hash.h"

namespace coala {
namespace {

constexpr const char* kBias = "token/bias";
constexpr const char* kEmbeddings = "token/embeddings";
constexpr const char* kStates = "token/states";
constexpr const char* kWeights = "token/weights";

}  // namespace

std::string hash_of(const TokenHead& head) {
  Hasher hasher;
  for (const FileTensor& tensor : tensors_of(head)) {
    hasher.add(tensor.name).add(tensor.values.data(), tensor.values.size_bytes());
  }
  return hasher.hex();
}

std::vector<FileTensor> tensors_of(const TokenHead& head) {
  const std::size_t r = head.rank();
  return {{kBias, {r}, head.bias},
          {kEmbeddings, {r, head.dimension()}, head.embeddings.values()},
          {kStates, {r, head.dimension()}, head.states.values()},
          {kWeights, {r, r}, head.weights.values()}};
}

bool is_token_tensor(const std::string& name) {
  return std::ranges::any_of(std::array{kBias, kEmbeddings, kStates, kWeights},
                             [&name](const char* own) { return name == own; });
}

TokenHead read_token_head(const SafetensorsFile& file) {
  const auto corrupt = [&file](const std::string& what) {
    return Error(ErrorCode::CorruptFile, fmt::format("{} is not a valid head: {}", file.path().string(), what),
                 "name a file that `coala train` or `coala align` wrote");
  };
  const auto read = [&](const char* name, const std::vector<std::size_t>& shape) {
    const TensorView& tensor = file.tensor(name);
    if (tensor.dtype != Dtype::F32 || tensor.shape != shape) {
      throw corrupt(fmt::format("the tensor '{}' has the wrong type or shape", name));
    }
    const std::vector<float> values = file.read_f32(name);
    if (!std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) {
      throw corrupt(fmt::format("the tensor '{}' holds a number that is not finite", name));
    }
    return values;
  };
  const auto matrix = [&](const char* name, std::size_t rows, std::size_t cols) {
    const std::vector<float> values = read(name, {rows, cols});
    return Matrix<float>(rows, cols, AlignedVector<float>(values.begin(), values.end()));
  };
  const std::vector<std::size_t> shape = file.tensor(kStates).shape;
  if (shape.size() != 2 || shape[0] == 0 || shape[1] == 0) throw corrupt("the tensor 'token/states' is no matrix");
  const auto [r, d] = std::pair(shape[0], shape[1]);
  return {matrix(kStates, r, d), matrix(kWeights, r, r), matrix(kEmbeddings, r, d), read(kBias, {r})};
}

}  // namespace coala
