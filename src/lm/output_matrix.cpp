#include "lm/output_matrix.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ggml.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "linalg/blas.h"
#include "lm/session.h"

namespace coala {
namespace {

constexpr std::size_t kLogits_bytes = std::size_t{32} << 20;
constexpr std::size_t kMostRows = 256;
/// Rows of E that are decoded together where there are no kernels of our own.
constexpr std::size_t kDecodedRows = 512;
/// llama.cpp rounds activations to the type of the weights, of which 8 bits are the fewest.
constexpr double kLargestDifference = 0.03;

const GgufTensor* find_tensor(const GgufFile& file, std::string_view name) {
  const auto found = std::ranges::find(file.tensors, name, &GgufTensor::name);
  return found == file.tensors.end() ? nullptr : &*found;
}

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

/// The model's file in memory, shared with llama.cpp through the system's cache.
struct OutputMatrix::Mapping {
  void* start = MAP_FAILED;
  std::size_t bytes = 0;

  explicit Mapping(const std::filesystem::path& path) {
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    bytes = static_cast<std::size_t>(std::filesystem::file_size(path));
    if (descriptor >= 0) start = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    const int failure = errno;
    if (descriptor >= 0) ::close(descriptor);
    if (start == MAP_FAILED) {
      throw Error(ErrorCode::Io, fmt::format("cannot map {}: {}", path.string(), std::strerror(failure)));
    }
  }
  ~Mapping() { ::munmap(start, bytes); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
};

OutputMatrix::OutputMatrix(const Backbone& backbone)
    : mapping_(std::make_unique<Mapping>(backbone.path())), dimension_(backbone.identity().dimension) {
  const GgufTensor* tensor = find_tensor(backbone.file(), "output.weight");
  tied_ = tensor == nullptr;
  if (tied_) tensor = find_tensor(backbone.file(), "token_embd.weight");
  if (tensor == nullptr || tensor->shape.size() != 2 || tensor->shape[0] != dimension_ ||
      tensor->shape[1] < backbone.identity().vocabulary || tensor->at + tensor->bytes > mapping_->bytes ||
      ggml_get_type_traits(static_cast<ggml_type>(tensor->type)) == nullptr) {
    throw Error(ErrorCode::BadInput, fmt::format("{} has no output matrix of the usual form", backbone.identity().name),
                "token guidance needs one; use another --guidance, and leave --token-head out");
  }
  type_ = tensor->type;
  vocabulary_ = backbone.identity().vocabulary;
  row_bytes_ = ggml_row_size(static_cast<ggml_type>(type_), static_cast<std::int64_t>(dimension_));
  rows_ = static_cast<const std::byte*>(mapping_->start) + tensor->at;
  check(backbone);
}

OutputMatrix::~OutputMatrix() = default;

void OutputMatrix::read(std::size_t first, std::span<float> to) const {
  const std::size_t count = to.size() / dimension_;
  const auto type = static_cast<ggml_type>(type_);
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* row = rows_ + (first + i) * row_bytes_;
    if (type == GGML_TYPE_F32) {
      std::memcpy(to.data() + i * dimension_, row, row_bytes_);
    } else {
      ggml_get_type_traits(type)->to_float(row, to.data() + i * dimension_, static_cast<std::int64_t>(dimension_));
    }
  }
}

Matrix<float> OutputMatrix::table(const Matrix<float>& directions) const {
  Matrix<float> table(directions.rows(), padded_vocabulary());
  Matrix<float> rows(kDecodedRows, dimension_);
  for (std::size_t first = 0; first < vocabulary_; first += kDecodedRows) {
    const std::size_t count = std::min(kDecodedRows, vocabulary_ - first);
    read(first, rows.values().first(count * dimension_));
    const MatrixView<float> to(table.data() + first, directions.rows(), count, table.cols());
    gemm(false, true, 1.0f, directions.view(), MatrixView<const float>(rows.data(), count, dimension_), 0.0f, to);
  }
  return table;
}

void OutputMatrix::logits(MatrixView<const float> states, std::vector<float>& packed, MatrixView<float> to) const {
  const DenseKernels* kernels = dense_kernels();
  if (kernels == nullptr) {
    Matrix<float> rows(kDecodedRows, dimension_);
    for (std::size_t first = 0; first < vocabulary_; first += kDecodedRows) {
      const std::size_t count = std::min(kDecodedRows, vocabulary_ - first);
      read(first, rows.values().first(count * dimension_));
      gemm(false, true, scale_, states, MatrixView<const float>(rows.data(), count, dimension_), 0.0f,
           MatrixView<float>(to.data + first, to.rows, count, to.stride));
    }
    return;
  }
  const auto type = static_cast<ggml_type>(type_);
  const DenseKernels::PackPanel pack = type == GGML_TYPE_F16    ? kernels->pack_panel_f16
                                       : type == GGML_TYPE_BF16 ? kernels->pack_panel_bf16
                                                                : kernels->pack_panel_f32;
  const bool as_stored = type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
  std::vector<float> decoded(as_stored ? 0 : kPanelColumns * dimension_);
  packed.resize(std::max(packed.size(), round_up(states.rows, kernels->row_tile) * dimension_));
  // Packed step by step of the depth, so that a step of all rows is in one piece.
  for (std::size_t from = 0; from < dimension_; from += kPanelDepth) {
    const std::size_t step = std::min(kPanelDepth, dimension_ - from);
    kernels->pack_rows(states.data + from, states.stride, states.rows, step,
                       packed.data() + round_up(states.rows, kernels->row_tile) * from);
  }
  alignas(64) float panel[kPanelDepth * kPanelColumns];
  for (std::size_t first = 0; first < vocabulary_; first += kPanelColumns) {
    const std::size_t count = std::min(kPanelColumns, vocabulary_ - first);
    if (!as_stored) read(first, std::span(decoded).first(count * dimension_));
    for (std::size_t from = 0; from < dimension_; from += kPanelDepth) {
      const std::size_t step = std::min(kPanelDepth, dimension_ - from);
      const std::byte* source = as_stored ? rows_ + first * row_bytes_ + from * ggml_type_size(type)
                                          : reinterpret_cast<const std::byte*>(decoded.data() + from);
      pack(source, as_stored ? row_bytes_ : dimension_ * sizeof(float), count, step, panel);
      kernels->product(packed.data() + round_up(states.rows, kernels->row_tile) * from, states.rows, panel, count, step,
                       to.data + first, to.stride, from > 0);
    }
  }
  if (scale_ == 1) return;
  for (std::size_t i = 0; i < to.rows; ++i) {
    for (float& logit : to.row(i)) logit *= scale_;
  }
}

void OutputMatrix::check(const Backbone& backbone) {
  SessionOptions options;
  options.cells = std::min<std::size_t>(8, backbone.identity().context_tokens);
  Session session(backbone, options);
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < std::min<std::size_t>(4, options.cells); ++i) {
    tokens.push_back(static_cast<Token>((7 * i + 5) % vocabulary_));
  }
  const Session::Output output = session.start(0, tokens);
  Matrix<float> product(1, padded_vocabulary());
  std::vector<float> packed;
  logits(MatrixView<const float>(output.state.data(), 1, dimension_), packed, product.view());
  const std::span<const float> ours = product.values().first(vocabulary_);
  const double squared = dot(ours, ours);
  const double fitted = squared > 0 ? dot(output.logits, ours) / squared : 0;
  double difference = 0;
  for (std::size_t c = 0; c < vocabulary_; ++c) {
    const double one = static_cast<double>(output.logits[c]) - fitted * static_cast<double>(ours[c]);
    difference += one * one;
  }
  if (!(fitted > 0) || !(difference <= kLargestDifference * kLargestDifference * dot(output.logits, output.logits))) {
    throw Error(ErrorCode::BadInput,
                fmt::format("the logits of {} ({}) are not the product of its output matrix with the state: there is a "
                            "bias, a soft cap or an adapter behind it",
                            backbone.identity().name, backbone.identity().architecture),
                "token guidance is not possible with it; use another --guidance, and leave --token-head out");
  }
  // A factor that differs from 1 by no more than rounding explains is 1.
  scale_ = std::abs(fitted - 1) < kLargestDifference ? 1.0f : static_cast<float>(fitted);
}

std::size_t NextTokenMean::batch_rows() const {
  return std::clamp<std::size_t>(kLogits_bytes / (matrix_.padded_vocabulary() * sizeof(float)), 16, kMostRows);
}

void NextTokenMean::evaluate(MatrixView<const float> states, const Matrix<float>& table, MatrixView<float> to) {
  const std::size_t step = batch_rows();
  for (std::size_t begin = 0; begin < states.rows; begin += step) {
    const std::size_t end = std::min(begin + step, states.rows);
    evaluate_batch(states.row_range(begin, end), table, to.row_range(begin, end));
  }
}

void NextTokenMean::add_probabilities(MatrixView<const float> states, std::span<double> to) {
  const std::size_t step = batch_rows();
  for (std::size_t begin = 0; begin < states.rows; begin += step) {
    const std::size_t end = std::min(begin + step, states.rows);
    const std::vector<float> sums = exponentials(states.row_range(begin, end));
    for (std::size_t i = 0; i < end - begin; ++i) {
      const std::span<const float> row = logits_.row(i).first(to.size());
      const double factor = 1 / static_cast<double>(sums[i]);
      for (std::size_t c = 0; c < row.size(); ++c) to[c] += factor * static_cast<double>(row[c]);
    }
  }
}

std::vector<float> NextTokenMean::exponentials(MatrixView<const float> states) {
  const std::size_t width = matrix_.padded_vocabulary();
  if (logits_.rows() < states.rows) logits_ = Matrix<float>(states.rows, width);
  matrix_.logits(states, packed_, MatrixView<float>(logits_.data(), states.rows, width));
  const DenseKernels* kernels = dense_kernels();
  if (kernels == nullptr) {
    std::vector<float> sums;
    for (std::size_t i = 0; i < states.rows; ++i) {
      const std::span<float> row = logits_.row(i).first(matrix_.vocabulary());
      const float most = *std::ranges::max_element(row);
      double sum = 0;
      for (float& value : row) sum += static_cast<double>(value = std::exp(value - most));
      std::ranges::fill(logits_.row(i).subspan(matrix_.vocabulary()), 0.0f);
      sums.push_back(static_cast<float>(sum));
    }
    return sums;
  }
  if (no_bias_.empty()) {
    no_bias_.assign(width, -std::numeric_limits<float>::infinity());
    std::fill_n(no_bias_.begin(), matrix_.vocabulary(), 0.0f);
  }
  const std::size_t tile = kernels->row_tile;
  const std::size_t tiles = (states.rows + tile - 1) / tile;
  packed_.resize(std::max(packed_.size(), tiles * tile * width));
  const std::vector<const float*> bias(tile, no_bias_.data());
  std::vector<float> sums(tiles * tile);
  for (std::size_t k = 0; k < tiles; ++k) {
    kernels->soft_max(logits_.data() + k * tile * width, bias.data(), std::min(tile, states.rows - k * tile), width,
                      1.0f, packed_.data() + k * tile * width, sums.data() + k * tile);
  }
  return sums;
}

void NextTokenMean::evaluate_batch(MatrixView<const float> states, const Matrix<float>& table, MatrixView<float> to) {
  const std::vector<float> sums = exponentials(states);
  const std::size_t width = matrix_.padded_vocabulary();
  const DenseKernels* kernels = dense_kernels();
  if (kernels == nullptr) {
    gemm(false, true, 1.0f, MatrixView<const float>(logits_.data(), states.rows, width), table.view(), 0.0f, to);
  } else {
    const std::size_t tile = kernels->row_tile;
    alignas(64) float panel[kPanelDepth * kPanelColumns];
    for (std::size_t from = 0; from < width; from += kPanelDepth) {
      const std::size_t step = std::min(kPanelDepth, width - from);
      for (std::size_t j = 0; j < table.rows(); j += kPanelColumns) {
        const std::size_t columns = std::min(kPanelColumns, table.rows() - j);
        kernels->pack_panel_f32(reinterpret_cast<const std::byte*>(table.row(j).data() + from), width * sizeof(float),
                                columns, step, panel);
        for (std::size_t k = 0; k * tile < states.rows; ++k) {
          kernels->product(packed_.data() + k * tile * width + from * tile, std::min(tile, states.rows - k * tile),
                           panel, columns, step, &to(k * tile, j), to.stride, from > 0);
        }
      }
    }
  }
  for (std::size_t i = 0; i < states.rows; ++i) {
    for (float& value : to.row(i)) value /= sums[i];
  }
}

}  // namespace coala
