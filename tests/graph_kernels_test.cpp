// Our kernels on graphs that are made and placed by hand. ggml's allocator chooses where a result lies, among others
// over what only earlier nodes read; here it is put there on purpose.
#include "lm/graph_kernels.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml-impl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "linalg/dense_kernels.h"

namespace coala {
namespace {

struct Shape {
  std::int64_t width, heads, kv_heads, rows, cells;
};

/// A layer's attention as llama.cpp writes it without flash attention, its tensors wherever the test puts them.
class AttentionGraph {
 public:
  explicit AttentionGraph(const Shape& shape) : shape_(shape) {
    context_.reset(ggml_init({1 << 20, nullptr, /*no_alloc=*/true}));
    ggml_context* c = context_.get();
    const auto [width, heads, kv_heads, rows, cells] = shape;
    queries_ = ggml_new_tensor_3d(c, GGML_TYPE_F32, width, heads, rows);
    keys_ = ggml_new_tensor_3d(c, GGML_TYPE_F32, width, kv_heads, cells);
    values_ = ggml_new_tensor_3d(c, GGML_TYPE_F32, cells, width, kv_heads);
    mask_ = ggml_new_tensor_2d(c, GGML_TYPE_F32, cells, rows);
    query_view_ = ggml_permute(c, queries_, 0, 2, 1, 3);
    key_view_ = ggml_permute(c, keys_, 0, 2, 1, 3);
    scores_ = ggml_mul_mat(c, key_view_, query_view_);
    weights_ = ggml_soft_max_ext(c, scores_, mask_, scale(), 0);
    found_ = ggml_mul_mat(c, values_, weights_);
    turned_ = ggml_permute(c, found_, 0, 2, 1, 3);
    out_ = ggml_cont_2d(c, turned_, width * heads, rows);
    graph_ = ggml_new_graph(c);
    ggml_build_forward_expand(graph_, out_);
  }

  float scale() const { return 1 / std::sqrt(static_cast<float>(shape_.width)); }
  ggml_context* context() { return context_.get(); }
  ggml_cgraph* graph() { return graph_; }
  ggml_tensor* weights() { return weights_; }
  /// Everything that the kernels read, by name.
  std::vector<std::pair<std::string, ggml_tensor*>> inputs() const {
    return {{"queries", queries_}, {"keys", keys_}, {"values", values_}, {"mask", mask_}};
  }
  std::size_t out_bytes() const { return ggml_nbytes(out_); }

  /// The first node of the pattern in the graph.
  GraphTail tail() const {
    for (int i = 0; i < graph_->n_nodes; ++i) {
      if (graph_->nodes[i] == scores_) return {graph_, i};
    }
    return {graph_, 0};
  }

  /// Inputs side by side with room around them, filled from the seed; the result `shift` bytes from `over`, or behind
  /// everything.
  void place(std::uint64_t seed, const ggml_tensor* over, std::ptrdiff_t shift) {
    const std::size_t room = out_bytes() + 4096;
    std::size_t at = room;
    std::vector<std::pair<ggml_tensor*, std::size_t>> places;
    for (const auto& [name, tensor] : inputs()) {
      places.emplace_back(tensor, at);
      at += (ggml_nbytes(tensor) + 63) / 64 * 64;
    }
    for (ggml_tensor* tensor : {scores_, weights_, found_}) {
      places.emplace_back(tensor, at + room);
      at += (ggml_nbytes(tensor) + 63) / 64 * 64;
    }
    memory_.assign((at + 3 * room) / sizeof(float), 0.0f);
    buffer_.reset(ggml_backend_cpu_buffer_from_ptr(memory_.data(), memory_.size() * sizeof(float)));
    char* base = reinterpret_cast<char*>(memory_.data());
    const auto put = [&](ggml_tensor* tensor, char* where) {
      tensor->buffer = buffer_.get();
      tensor->data = where;
    };
    for (const auto& [tensor, place] : places) put(tensor, base + place);
    put(out_, over == nullptr ? base + at + 2 * room : static_cast<char*>(over->data) + shift);
    for (ggml_tensor* view : {query_view_, key_view_, turned_}) put(view, static_cast<char*>(view->view_src->data));
    fill(seed);
  }

  /// [rows][heads][width], in double, from what lies in the inputs now.
  std::vector<double> expected() const {
    const auto [width, heads, kv_heads, rows, cells] = shape_;
    const auto* q = static_cast<const float*>(queries_->data);
    const auto* k = static_cast<const float*>(keys_->data);
    const auto* v = static_cast<const float*>(values_->data);
    const auto* mask = static_cast<const float*>(mask_->data);
    std::vector<double> result;
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t g = h / (heads / kv_heads);
        std::vector<double> weights;
        double sum = 0;
        for (std::int64_t c = 0; c < cells; ++c) {
          double score = 0;
          for (std::int64_t i = 0; i < width; ++i) {
            score += static_cast<double>(q[(r * heads + h) * width + i]) * k[(c * kv_heads + g) * width + i];
          }
          weights.push_back(std::exp(score * scale() + mask[r * cells + c]));
          sum += weights.back();
        }
        for (std::int64_t j = 0; j < width; ++j) {
          double value = 0;
          for (std::int64_t c = 0; c < cells; ++c) {
            value += weights[static_cast<std::size_t>(c)] * v[(g * width + j) * cells + c];
          }
          result.push_back(value / sum);
        }
      }
    }
    return result;
  }

  std::vector<float> result() const {
    const auto* from = static_cast<const float*>(out_->data);
    return {from, from + ggml_nelements(out_)};
  }

 private:
  void fill(std::uint64_t seed) {
    Random random(seed);
    for (const auto& [name, tensor] : inputs()) {
      auto* data = static_cast<float*>(tensor->data);
      for (std::int64_t i = 0; i < ggml_nelements(tensor); ++i) data[i] = static_cast<float>(random.normal());
    }
    // Three texts in one cache: a row sees the cells before its own of its own text.
    auto* mask = static_cast<float*>(mask_->data);
    for (std::int64_t r = 0; r < shape_.rows; ++r) {
      for (std::int64_t c = 0; c < shape_.cells; ++c) {
        const bool sees = c % 3 == r % 3 && c <= shape_.cells - shape_.rows + r;
        mask[r * shape_.cells + c] = sees ? 0.0f : -INFINITY;
      }
    }
  }

  struct FreeContext {
    void operator()(ggml_context* context) const { ggml_free(context); }
  };
  struct FreeBuffer {
    void operator()(ggml_backend_buffer_t buffer) const { ggml_backend_buffer_free(buffer); }
  };
  Shape shape_;
  std::unique_ptr<ggml_context, FreeContext> context_;
  AlignedVector<float> memory_;
  std::unique_ptr<ggml_backend_buffer, FreeBuffer> buffer_;
  ggml_tensor *queries_, *keys_, *values_, *mask_, *query_view_, *key_view_, *scores_, *weights_, *found_, *turned_,
      *out_;
  ggml_cgraph* graph_;
};

void expect_right(AttentionGraph& attention, const Shape& shape, GraphKernels& kernels, ThreadPool& pool,
                  const std::string& where) {
  const std::vector<double> expected = attention.expected();
  kernels.begin_graph(Precision::F32, false);
  ASSERT_GT(kernels.match(attention.tail()), 1) << where;
  kernels.run(attention.tail(), pool);
  const std::vector<float> result = attention.result();
  // Sums of `width` and `cells` terms of size about one, in single precision.
  const double unit = 0x1p-24 * static_cast<double>(shape.width + shape.cells);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(result[i], expected[i], 4 * unit) << where << ", number " << i << ", threads " << pool.size();
  }
}

class Attention : public testing::TestWithParam<Shape> {};

TEST_P(Attention, MayOverwriteWhatItReads) {
  if (dense_kernels() == nullptr) GTEST_SKIP() << "the CPU has none of our kernels";
  AttentionGraph attention(GetParam());
  std::uint64_t seed = 1;
  const auto check = [&](const std::string& where, const ggml_tensor* over, std::ptrdiff_t shift, int threads) {
    attention.place(seed++, over, shift);
    GraphKernels kernels(*dense_kernels());
    ThreadPool pool(threads);
    expect_right(attention, GetParam(), kernels, pool, where);
  };
  for (const int threads : {1, 3}) {
    check("apart", nullptr, 0, threads);
    for (const auto& [name, tensor] : attention.inputs()) {
      const auto size = static_cast<std::ptrdiff_t>(ggml_nbytes(tensor));
      const auto own = static_cast<std::ptrdiff_t>(attention.out_bytes());
      for (const std::ptrdiff_t shift : {std::ptrdiff_t{0}, size / 2, size - 64, -own / 2, 64 - own}) {
        check("over " + name + " by " + std::to_string(shift), tensor, shift / 64 * 64, threads);
      }
    }
  }
}

/// Heads with keys of their own, shared keys, one for all; few rows, one tile, several, rows that do not fill one, and
/// so many that threads share a head.
INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(Shape{64, 9, 3, 5, 96}, Shape{64, 9, 3, 40, 96}, Shape{64, 4, 1, 130, 160},
                                         Shape{128, 16, 8, 33, 64}, Shape{256, 4, 1, 17, 64}, Shape{256, 4, 1, 3, 64},
                                         Shape{80, 4, 4, 16, 128}, Shape{32, 2, 2, 1, 32}),
                         [](const auto& test) {
                           const Shape& s = test.param;
                           return "Width" + std::to_string(s.width) + "Heads" + std::to_string(s.heads) + "Of" +
                                  std::to_string(s.kv_heads) + "Rows" + std::to_string(s.rows);
                         });

/// What is kept between graphs is space alone: large, small and few rows in turn, each with numbers of its own.
TEST(Attention, KeepsNothingOfTheGraphBefore) {
  if (dense_kernels() == nullptr) GTEST_SKIP() << "the CPU has none of our kernels";
  for (const int threads : {1, 3}) {
    GraphKernels kernels(*dense_kernels());
    ThreadPool pool(threads);
    std::uint64_t seed = 100;
    for (const Shape& shape : {Shape{256, 4, 1, 130, 160}, Shape{64, 9, 3, 40, 96}, Shape{256, 4, 1, 3, 64},
                               Shape{32, 2, 2, 1, 32}, Shape{80, 4, 4, 16, 128}, Shape{256, 4, 1, 130, 160}}) {
      AttentionGraph attention(shape);
      attention.place(seed++, nullptr, 0);
      expect_right(attention, shape, kernels, pool, "graph " + std::to_string(seed));
    }
  }
}

/// What is left out must be nobody else's: here the weights are read once more, or are an output.
TEST(Attention, IsNotTakenWhereItsInsidesAreWanted) {
  if (dense_kernels() == nullptr) GTEST_SKIP() << "the CPU has none of our kernels";
  GraphKernels kernels(*dense_kernels());
  kernels.begin_graph(Precision::F32, false);
  AttentionGraph read(Shape{64, 4, 2, 20, 64});
  ggml_build_forward_expand(read.graph(), ggml_scale(read.context(), read.weights(), 2));
  read.place(1, nullptr, 0);
  EXPECT_EQ(kernels.match(read.tail()), 0);
  AttentionGraph output(Shape{64, 4, 2, 20, 64});
  ggml_set_output(output.weights());
  output.place(1, nullptr, 0);
  EXPECT_EQ(kernels.match(output.tail()), 0);
}

}  // namespace
}  // namespace coala
