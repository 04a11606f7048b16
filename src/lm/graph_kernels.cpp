#include "lm/graph_kernels.h"

#include <ggml-backend.h>
#include <ggml-impl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "lm/block_types.h"

namespace coala {
namespace {

/// From so many rows on it pays to turn weights, keys and values over.
constexpr std::int64_t kManyRows = 16;
constexpr std::int64_t kFewestColumns = 32;
/// Rows meet the cells that any of them sees when these are at most so many times those that they see on average.
constexpr double kAlike = 1.25;

bool in_plain_memory(const ggml_tensor* tensor) {
  const ggml_tensor* owner = tensor->view_src != nullptr ? tensor->view_src : tensor;
  return owner->buffer != nullptr && ggml_backend_buffer_is_host(owner->buffer);
}

/// Weights that are stored one by one.
bool is_plain_type(ggml_type type) {
  return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16;
}

/// Types of weights that become panels: what is stored in blocks of numbers is decoded first.
bool is_packable(ggml_type type) {
  return is_plain_type(type) || (ggml_is_quantized(type) && ggml_get_type_traits(type)->to_float != nullptr &&
                                 static_cast<std::int64_t>(kPanelDepth) % ggml_blck_size(type) == 0);
}

/// Rows of single numbers, as a cache that is stored transposed is filled.
bool is_scatter(const ggml_tensor* node) {
  if (node->op != GGML_OP_SET_ROWS) return false;
  const ggml_tensor* from = node->src[0];
  const ggml_tensor* to = node->src[1];
  return node->ne[0] == 1 && node->type == GGML_TYPE_F32 && from->type == GGML_TYPE_F32 && to->type == GGML_TYPE_I64 &&
         ggml_is_contiguous(from) && ggml_is_contiguous(to) && node->nb[1] == sizeof(float) && from->ne[2] == 1 &&
         from->ne[3] == 1 && in_plain_memory(node);
}

/// Neighbours in the source go to places far apart, neighbours a row of the source later side by side: so a few columns
/// at a time, all rows of them.
void scatter(const ggml_tensor& node, ThreadPool& pool) {
  constexpr std::size_t kTogether = 8;
  constexpr std::size_t kFewNumbers = 1024;  // not worth a second thread
  const ggml_tensor* source = node.src[0];
  const auto count = static_cast<std::size_t>(source->ne[1]);
  const bool reshaped = source->op == GGML_OP_RESHAPE && source->src[0] != nullptr;
  const std::size_t columns = reshaped ? static_cast<std::size_t>(source->src[0]->ne[0]) : count;
  const auto* from = static_cast<const float*>(source->data);
  const auto* where = static_cast<const std::int64_t*>(node.src[1]->data);
  auto* to = static_cast<float*>(node.data);
  pool.for_chunks(columns, count < kFewNumbers ? columns : kTogether, [&](int, std::size_t first, std::size_t last) {
    for (std::size_t begin = first; begin < last; begin += kTogether) {
      const std::size_t end = std::min(begin + kTogether, last);
      for (std::size_t row = 0; row < count; row += columns) {
        for (std::size_t i = row + begin; i < row + end; ++i) to[where[i]] = from[i];
      }
    }
  });
}

/// GELU by itself, or times a gate: ggml looks it up in a table by x in half precision, so that states differ by 1e-4
/// as soon as the last bit of an x does.
bool is_gelu(const ggml_tensor* node) {
  const bool unary = node->op == GGML_OP_UNARY && ggml_get_unary_op(node) == GGML_UNARY_OP_GELU;
  const bool gated = node->op == GGML_OP_GLU && ggml_get_glu_op(node) == GGML_GLU_OP_GEGLU;
  if (!unary && !gated) return false;
  const auto is_plain = [](const ggml_tensor* t) { return t->type == GGML_TYPE_F32 && ggml_is_contiguous_1(t); };
  return is_plain(node) && is_plain(node->src[0]) && (node->src[1] == nullptr || is_plain(node->src[1]));
}

/// Rows as ggml counts them: without a second source the gate is the second half of each row, or the first.
void gelu(const ggml_tensor& node, const DenseKernels& kernels, ThreadPool& pool) {
  const ggml_tensor* x = node.src[0];
  const ggml_tensor* gate = node.src[1];
  const auto width = static_cast<std::size_t>(node.ne[0]);
  const bool halves = node.op == GGML_OP_GLU && gate == nullptr;
  const std::size_t swapped = halves && ggml_get_op_params_i32(&node, 1) != 0 ? width : 0;
  const auto rows = static_cast<std::size_t>(ggml_nrows(&node));
  const auto row_of = [](const ggml_tensor* tensor, std::size_t row) {
    return reinterpret_cast<float*>(static_cast<std::byte*>(tensor->data) + row * tensor->nb[1]);
  };
  constexpr std::size_t kFewNumbers = 1 << 14;  // not worth a second thread
  const std::size_t grain = std::max<std::size_t>(1, kFewNumbers / std::max<std::size_t>(1, width));
  pool.for_chunks(rows, grain, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      const float* from = row_of(x, r);
      const float* gates = gate != nullptr ? row_of(gate, r) : halves ? from + width - swapped : nullptr;
      kernels.gelu(from + swapped, gates, width, row_of(&node, r));
    }
  });
}

template <class T>
const T* at(const ggml_tensor* tensor, std::size_t i1, std::size_t i2 = 0) {
  return reinterpret_cast<const T*>(static_cast<const std::byte*>(tensor->data) + i1 * tensor->nb[1] +
                                    i2 * tensor->nb[2]);
}

/// For so many numbers, which are not initialised anew: clearing them took as long as what they are for.
float* space_for(AlignedVector<float>& vector, std::size_t size) {
  vector.resize(std::max(vector.size(), size));
  return vector.data();
}

std::size_t round_up(std::size_t value, std::size_t to) {
  return (value + to - 1) / to * to;
}

}  // namespace

std::span<ggml_tensor* const> GraphTail::nodes() const {
  return {graph->nodes + first, static_cast<std::size_t>(graph->n_nodes - first)};
}

bool is_no_operation(const ggml_tensor& node) {
  return node.op == GGML_OP_NONE || node.op == GGML_OP_RESHAPE || node.op == GGML_OP_VIEW ||
         node.op == GGML_OP_PERMUTE || node.op == GGML_OP_TRANSPOSE;
}

/// The nodes of one layer's attention: scores, weights, weighted values, and those put in order.
struct GraphKernels::Attention {
  const ggml_tensor* q = nullptr;     ///< [width, rows, heads]
  const ggml_tensor* k = nullptr;     ///< [width, cells, kv heads]
  const ggml_tensor* v = nullptr;     ///< [cells, width, kv heads]
  const ggml_tensor* mask = nullptr;  ///< [cells, rows]
  const ggml_tensor* out = nullptr;   ///< [width heads, rows]
  float scale = 1;
  int nodes = 0;

  /// The pattern that llama.cpp writes when flash attention is off; without nodes when it is something else.
  static Attention find(const GraphTail& tail) {
    constexpr std::array kPattern{GGML_OP_MUL_MAT, GGML_OP_SOFT_MAX, GGML_OP_MUL_MAT, GGML_OP_CONT};
    const std::span<ggml_tensor* const> nodes = tail.nodes();
    std::array<const ggml_tensor*, kPattern.size()> found{};
    std::size_t count = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < nodes.size() && count < found.size(); ++i) {
      if (is_no_operation(*nodes[i])) continue;
      if (nodes[i]->op != kPattern[count] || (nodes[i]->flags & GGML_TENSOR_FLAG_COMPUTE) == 0) return {};
      // All but the last are not written, so nobody else may want them.
      const bool inner = count + 1 < found.size();
      if (inner && !ggml_node_has_n_uses(tail.graph, tail.first + static_cast<int>(i), 1)) return {};
      found[count++] = nodes[i];
      last = i;
    }
    if (count < found.size()) return {};
    const auto [scores, weights, values, out] = found;
    if (weights->src[0] != scores || values->src[1] != weights || out->src[0]->view_src != values ||
        weights->src[1] == nullptr || weights->src[2] != nullptr) {
      return {};
    }
    Attention a{scores->src[1], scores->src[0], values->src[0], weights->src[1], out, 1, static_cast<int>(last) + 1};
    float bias = 0;
    std::memcpy(&a.scale, weights->op_params, sizeof a.scale);
    std::memcpy(&bias, reinterpret_cast<const float*>(weights->op_params) + 1, sizeof bias);
    const auto is_plain = [](const ggml_tensor* t) {
      return t->type == GGML_TYPE_F32 && t->nb[0] == sizeof(float) && t->ne[3] == 1 && t->nb[1] % sizeof(float) == 0;
    };
    const std::int64_t width = a.q->ne[0];
    const std::int64_t rows = a.q->ne[1];
    const std::int64_t heads = a.q->ne[2];
    const std::int64_t cells = a.k->ne[1];
    // The context lays the heads of a row side by side.
    const bool in_order = out->src[0]->ne[0] == a.v->ne[1] && out->src[0]->ne[1] == heads &&
                          out->src[0]->ne[2] == rows && ggml_is_contiguous(out);
    if (bias != 0 || !is_plain(a.q) || !is_plain(a.k) || !is_plain(a.v) || !is_plain(a.mask) || !in_order ||
        cells % static_cast<std::int64_t>(kPanelColumns) != 0 || a.v->ne[0] != cells || a.v->ne[2] != a.k->ne[2] ||
        heads % a.k->ne[2] != 0 || a.mask->ne[0] != cells || a.mask->ne[1] < rows || a.mask->ne[2] != 1 ||
        a.k->ne[0] != width || !in_plain_memory(a.k) || !in_plain_memory(a.v)) {
      return {};
    }
    return a;
  }
};

bool GraphKernels::turns_over(const ggml_tensor& weights, std::int64_t rows) const {
  // Numbers must not depend on how many rows there are, so what is rounded, or is not, is so for every count.
  return rows >= kManyRows || precision_ == Precision::BF16 || (exact_rows_ && ggml_is_quantized(weights.type));
}

bool GraphKernels::is_product(const ggml_tensor& node) const {
  if (node.op != GGML_OP_MUL_MAT) return false;
  const ggml_tensor* w = node.src[0];
  const ggml_tensor* x = node.src[1];
  const std::int64_t rows = x->ne[1];
  if (rows == 0) return false;  // nobody wants the logits
  const bool has_kernel = turns_over(*w, rows) ? is_packable(w->type) : few_rows_.can_multiply(*w);
  return has_kernel && x->type == GGML_TYPE_F32 && node.type == GGML_TYPE_F32 && ggml_is_matrix(w) &&
         ggml_is_matrix(x) && w->nb[0] == ggml_type_size(w->type) && x->nb[0] == sizeof(float) &&
         x->nb[1] % sizeof(float) == 0 && ggml_is_contiguous(&node) && w->ne[1] >= kFewestColumns &&
         node.op_params[1] != GGML_HINT_SRC0_IS_HADAMARD && in_plain_memory(w);
}

int GraphKernels::match(const GraphTail& tail) const {
  const ggml_tensor* node = tail.nodes().front();
  if (is_scatter(node) || is_gelu(node)) return 1;
  if (node->op != GGML_OP_MUL_MAT) return 0;
  if (const int attention = Attention::find(tail).nodes; attention > 0) return attention;
  return is_product(*node) ? 1 : 0;
}

void GraphKernels::run(const GraphTail& tail, ThreadPool& pool) {
  const ggml_tensor& node = *tail.nodes().front();
  if (is_scatter(&node)) {
    scatter(node, pool);
  } else if (is_gelu(&node)) {
    gelu(node, kernels_, pool);
  } else if (const Attention attention = Attention::find(tail); attention.nodes > 0) {
    attend(attention, pool);
  } else if (precision_ == Precision::BF16) {
    multiply_rounded(node, pool);
  } else if (turns_over(*node.src[0], node.src[1]->ne[1])) {
    multiply(node, pool);
  } else {
    const ggml_tensor& x = *node.src[1];
    few_rows_.multiply(*node.src[0], at<float>(&x, 0), x.nb[1] / sizeof(float), static_cast<std::size_t>(x.ne[1]),
                       static_cast<float*>(node.data), pool);
  }
}

void GraphKernels::multiply(const ggml_tensor& node, ThreadPool& pool) {
  const ggml_tensor* w = node.src[0];
  const ggml_tensor* x = node.src[1];
  const auto depth = static_cast<std::size_t>(w->ne[0]);
  const auto columns = static_cast<std::size_t>(w->ne[1]);
  const auto rows = static_cast<std::size_t>(x->ne[1]);
  const std::size_t padded = round_up(rows, kernels_.row_tile);
  // Two loops for all steps of the depth: threads that wait for each other after each step would lose a piece each
  // time.
  const auto for_steps = [depth](const auto& call) {
    for (std::size_t from = 0; from < depth; from += kPanelDepth) call(from, std::min(kPanelDepth, depth - from));
  };
  // Queries, keys and values have the same rows, and so have the gate and the up projection.
  if (packed_rows_ != x) {
    packed_.resize(std::max(packed_.size(), padded * depth));
    pool.for_chunks(rows, kernels_.row_tile, [&](int, std::size_t begin, std::size_t end) {
      for_steps([&](std::size_t from, std::size_t step) {
        kernels_.pack_rows(at<float>(x, begin) + from, x->nb[1] / sizeof(float), end - begin, step,
                           packed_.data() + from * padded + begin * step);
      });
    });
    // Another view of the memory may be written to in between.
    packed_rows_ = x->view_src == nullptr ? x : nullptr;
  }
  auto* c = static_cast<float*>(node.data);
  pool.for_chunks(columns, kPanelColumns, [&](int, std::size_t begin, std::size_t end) {
    alignas(64) float panel[kPanelDepth * kPanelColumns];
    for (std::size_t j = begin; j < end; j += kPanelColumns) {
      const std::size_t here = std::min(kPanelColumns, end - j);
      for_steps([&](std::size_t from, std::size_t step) {
        pack_weights(*w, j, here, from, step, panel);
        kernels_.product(packed_.data() + from * padded, rows, panel, here, step, c + j, columns, from > 0);
      });
    }
  });
}

void GraphKernels::multiply_rounded(const ggml_tensor& node, ThreadPool& pool) {
  const BFloatKernels& kernels = bfloat_kernels();
  const ggml_tensor* w = node.src[0];
  const ggml_tensor* x = node.src[1];
  const auto all = static_cast<std::size_t>(w->ne[0]);
  const auto columns = static_cast<std::size_t>(w->ne[1]);
  const auto rows = static_cast<std::size_t>(x->ne[1]);
  rounded_.resize(std::max(rounded_.size(), round_up(rows, kBFloatRows) * kPanelDepth));
  auto* c = static_cast<float*>(node.data);
  for (std::size_t from = 0; from < all; from += kPanelDepth) {
    const std::size_t step = std::min(kPanelDepth, all - from);
    const std::size_t depth = round_up(step, kBFloatDepth);
    pool.for_chunks(rows, kBFloatRows, [&](int, std::size_t begin, std::size_t end) {
      if (begin == end) return;
      kernels.round_rows(at<float>(x, begin) + from, x->nb[1] / sizeof(float), end - begin, step,
                         rounded_.data() + begin * depth);
    });
    pool.for_chunks(columns, kPanelColumns, [&](int, std::size_t begin, std::size_t end) {
      alignas(64) float panel[kPanelDepth * kPanelColumns];
      alignas(64) std::uint16_t pairs[kPanelDepth * kPanelColumns];
      for (std::size_t j = begin; j < end; j += kPanelColumns) {
        const std::size_t here = std::min(kPanelColumns, end - j);
        pack_weights(*w, j, here, from, step, panel);
        kernels.round_panel(panel, step, pairs);
        kernels.product(rounded_.data(), rows, pairs, here, step, c + j, columns, from > 0);
      }
    });
  }
}

void GraphKernels::pack_weights(const ggml_tensor& w, std::size_t first, std::size_t count, std::size_t from,
                                std::size_t step, float* panel) const {
  const auto block = static_cast<std::size_t>(ggml_blck_size(w.type));
  const std::byte* start = at<std::byte>(&w, first) + from / block * w.nb[0];
  switch (w.type) {
    case GGML_TYPE_F32:
      kernels_.pack_panel_f32(start, w.nb[1], count, step, panel);
      return;
    case GGML_TYPE_F16:
      kernels_.pack_panel_f16(start, w.nb[1], count, step, panel);
      return;
    case GGML_TYPE_BF16:
      kernels_.pack_panel_bf16(start, w.nb[1], count, step, panel);
      return;
    default:
      break;
  }
  if (const DenseKernels::PackPanel pack = pack_panel_of(w.type)) {
    pack(start, w.nb[1], count, step, panel);
    return;
  }
  alignas(64) float decoded[kPanelDepth * kPanelColumns];
  const auto decode = ggml_get_type_traits(w.type)->to_float;
  for (std::size_t i = 0; i < count; ++i) {
    decode(start + i * w.nb[1], decoded + i * step, static_cast<std::int64_t>(step));
  }
  kernels_.pack_panel_f32(reinterpret_cast<const std::byte*>(decoded), step * sizeof(float), count, step, panel);
}

const GraphKernels::Mask& GraphKernels::mask_of(const ggml_tensor& mask, std::size_t rows, std::size_t cells,
                                                std::size_t tile) {
  const auto [found, fresh] = masks_.try_emplace(&mask);
  Mask& result = found->second;
  if (!fresh) return result;
  const std::size_t blocks = cells / kPanelColumns;
  std::vector<bool> used(blocks);
  for (std::size_t begin = 0; begin < rows; begin += tile) {
    const std::size_t end = std::min(begin + tile, rows);
    auto& visible = result.visible.emplace_back();
    for (std::size_t b = 0; b < blocks; ++b) {
      bool seen = false;
      for (std::size_t r = begin; r < end && !seen; ++r) {
        const float* bias = at<float>(&mask, r) + b * kPanelColumns;
        seen = std::any_of(bias, bias + kPanelColumns, [](float value) { return value != -INFINITY; });
      }
      if (!seen) continue;
      visible.push_back(static_cast<std::uint32_t>(b));
      used[b] = true;
    }
  }
  std::size_t seen = 0;
  for (const auto& visible : result.visible) seen += visible.size();
  for (std::size_t b = 0; b < blocks; ++b) {
    if (used[b]) result.all.push_back(static_cast<std::uint32_t>(b));
  }
  result.alike = static_cast<double>(result.all.size() * result.visible.size()) <= kAlike * static_cast<double>(seen);
  if (tile == 1) collect_bias(mask, rows, result);
  return result;
}

void GraphKernels::collect_bias(const ggml_tensor& mask, std::size_t rows, Mask& result) {
  for (std::size_t r = 0; r < rows; ++r) {
    result.bias_begin.push_back(result.bias.size());
    for (const std::uint32_t b : result.meets_all() ? result.all : result.visible[r]) {
      const float* from = at<float>(&mask, r) + b * kPanelColumns;
      result.bias.insert(result.bias.end(), from, from + kPanelColumns);
    }
  }
}

void GraphKernels::attend(const Attention& a, ThreadPool& pool) {
  const auto rows = static_cast<std::size_t>(a.q->ne[1]);
  const bool many = a.q->ne[1] >= kManyRows;
  const Mask& mask = mask_of(*a.mask, rows, static_cast<std::size_t>(a.k->ne[1]), many ? kernels_.row_tile : 1);
  const auto width = static_cast<std::size_t>(a.out->ne[0]);
  float* attended = space_for(attended_, rows * width);
  scratch_.resize(static_cast<std::size_t>(pool.size()));
  const auto kv_heads = static_cast<std::size_t>(a.k->ne[2]);
  if (many) pack_cells(a, mask, pool);
  // A head's tiles of rows in several ranges, since there may be fewer heads than threads.
  constexpr std::size_t kUnitsPerThread = 16;
  const std::size_t tiles = mask.visible.size();
  const std::size_t wanted = (kUnitsPerThread * static_cast<std::size_t>(pool.size()) + kv_heads - 1) / kv_heads;
  const std::size_t ranges = many && pool.size() > 1 ? std::min(wanted, tiles) : 1;
  pool.for_chunks(kv_heads * ranges, 1, [&](int worker, std::size_t begin, std::size_t end) {
    Scratch& scratch = scratch_[static_cast<std::size_t>(worker)];
    for (std::size_t unit = begin; unit < end; ++unit) {
      const std::size_t head = unit / ranges;
      const std::size_t range = unit % ranges;
      if (many) {
        attend_tiles(a, mask, head, tiles * range / ranges, tiles * (range + 1) / ranges, scratch);
      } else {
        attend_rows(a, mask, head, scratch);
      }
    }
  });
  constexpr std::size_t kCopiedRows = 64;
  pool.for_chunks(rows, kCopiedRows, [&](int, std::size_t begin, std::size_t end) {
    std::memcpy(static_cast<float*>(a.out->data) + begin * width, attended + begin * width,
                (end - begin) * width * sizeof(float));
  });
}

/// Keys and values as they lie in the cache, which are read once for the heads of a row that share them; where rows see
/// nearly the same cells, as branches of a text do, once for the rows of a head.
void GraphKernels::attend_rows(const Attention& a, const Mask& mask, std::size_t kv_head, Scratch& scratch) {
  const auto width = static_cast<std::size_t>(a.k->ne[0]);
  const auto value_width = static_cast<std::size_t>(a.v->ne[1]);
  const auto heads = static_cast<std::size_t>(a.q->ne[2]);
  const std::size_t group = heads / static_cast<std::size_t>(a.k->ne[2]);
  const std::size_t first_head = kv_head * group;
  const std::size_t rows = mask.visible.size();
  const bool by_head = mask.meets_all();
  const std::size_t steps = by_head ? group : rows;
  const std::size_t together = by_head ? rows : group;
  const std::size_t query_stride = a.q->nb[by_head ? 1 : 2] / sizeof(float);
  AlignedVector<float>& scores = scratch.scores;
  AlignedVector<float>& part = scratch.part;
  AlignedVector<float>& result = scratch.result;
  std::vector<const float*>& biases = scratch.biases;
  part.resize(together * value_width);
  result.resize(together * value_width);
  biases.resize(together);
  scratch.sums.resize(together);
  for (std::size_t step = 0; step < steps; ++step) {
    const auto row_of = [&](std::size_t i) { return by_head ? i : step; };
    const auto head_of = [&](std::size_t i) { return first_head + (by_head ? step : i); };
    const std::vector<std::uint32_t>& visible = by_head ? mask.all : mask.visible[step];
    const std::size_t count = visible.size() * kPanelColumns;
    scores.resize(std::max(scores.size(), together * count));
    // Blocks that follow each other are one: calls(first cell, its place among the visible, cells).
    const auto for_runs = [&](const auto& call) {
      for (std::size_t i = 0; i < visible.size();) {
        std::size_t end = i + 1;
        while (end < visible.size() && visible[end] == visible[end - 1] + 1) ++end;
        call(visible[i] * kPanelColumns, i * kPanelColumns, (end - i) * kPanelColumns);
        i = end;
      }
    };
    for (std::size_t i = 0; i < together; ++i) biases[i] = mask.bias.data() + mask.bias_begin[row_of(i)];
    for_runs([&](std::size_t cell, std::size_t place, std::size_t cells) {
      kernels_.dots_f32(at<float>(a.q, row_of(0), head_of(0)), query_stride, together,
                        at<std::byte>(a.k, cell, kv_head), a.k->nb[1], cells, width, scores.data() + place, count);
    });
    kernels_.soft_max(scores.data(), biases.data(), together, count, a.scale, nullptr, scratch.sums.data());
    std::ranges::fill(result, 0.0f);
    for_runs([&](std::size_t cell, std::size_t place, std::size_t cells) {
      kernels_.dots_f32(scores.data() + place, count, together, at<std::byte>(a.v, 0, kv_head) + cell * sizeof(float),
                        a.v->nb[1], value_width, cells, part.data(), value_width);
      for (std::size_t j = 0; j < part.size(); ++j) result[j] += part[j];
    });
    for (std::size_t i = 0; i < together; ++i) {
      float* out = attended_.data() + (row_of(i) * heads + head_of(i)) * value_width;
      for (std::size_t j = 0; j < value_width; ++j) out[j] = result[i * value_width + j] / scratch.sums[i];
    }
  }
}

/// How keys and values lie when they are turned over.
struct GraphKernels::CellPanels {
  std::size_t blocks;                                                       ///< of cells
  std::size_t value_panels;                                                 ///< of columns
  std::size_t key_size;                                                     ///< [width][cell]: of a block
  static constexpr std::size_t kValueSize = kPanelColumns * kPanelColumns;  ///< [cell][column]: of a block and a panel

  explicit CellPanels(const Attention& a)
      : blocks(static_cast<std::size_t>(a.k->ne[1]) / kPanelColumns),
        value_panels((static_cast<std::size_t>(a.v->ne[1]) + kPanelColumns - 1) / kPanelColumns),
        key_size(static_cast<std::size_t>(a.k->ne[0]) * kPanelColumns) {}

  std::size_t key(std::size_t head, std::size_t block) const { return (head * blocks + block) * key_size; }
  std::size_t value(std::size_t head, std::size_t panel, std::size_t block) const {
    return ((head * value_panels + panel) * blocks + block) * kValueSize;
  }
};

void GraphKernels::pack_cells(const Attention& a, const Mask& mask, ThreadPool& pool) {
  const CellPanels panels(a);
  const auto kv_heads = static_cast<std::size_t>(a.k->ne[2]);
  const auto width = static_cast<std::size_t>(a.k->ne[0]);
  const auto value_width = static_cast<std::size_t>(a.v->ne[1]);
  float* keys = space_for(keys_, panels.key(kv_heads, 0));
  float* values = space_for(values_, panels.value(kv_heads, 0, 0));
  pool.for_chunks(kv_heads * mask.all.size(), 1, [&](int, std::size_t begin, std::size_t end) {
    for (std::size_t unit = begin; unit < end; ++unit) {
      const std::size_t head = unit / mask.all.size();
      const std::size_t b = mask.all[unit % mask.all.size()];
      kernels_.pack_panel_f32(at<std::byte>(a.k, b * kPanelColumns, head), a.k->nb[1], kPanelColumns, width,
                              keys + panels.key(head, b));
      for (std::size_t p = 0; p < panels.value_panels; ++p) {
        const std::size_t column = p * kPanelColumns;
        kernels_.pack_panel_f32(at<std::byte>(a.v, column, head) + b * kPanelColumns * sizeof(float), a.v->nb[1],
                                std::min(kPanelColumns, value_width - column), kPanelColumns,
                                values + panels.value(head, p, b));
      }
    }
  });
}

void GraphKernels::attend_tiles(const Attention& a, const Mask& mask, std::size_t kv_head, std::size_t first_tile,
                                std::size_t end_tile, Scratch& scratch) {
  const CellPanels panels(a);
  const auto width = static_cast<std::size_t>(a.k->ne[0]);
  const auto value_width = static_cast<std::size_t>(a.v->ne[1]);
  const auto rows = static_cast<std::size_t>(a.q->ne[1]);
  const auto heads = static_cast<std::size_t>(a.q->ne[2]);
  const std::size_t group = heads / static_cast<std::size_t>(a.k->ne[2]);
  const std::size_t tile = kernels_.row_tile;
  const std::size_t most = panels.blocks * kPanelColumns;
  float* query = space_for(scratch.query, tile * width);
  float* scores = space_for(scratch.scores, tile * most);
  float* weights = space_for(scratch.weights, tile * most);
  float* bias = space_for(scratch.bias, tile * most);
  float* result = space_for(scratch.result, tile * panels.value_panels * kPanelColumns);
  std::vector<float>& sums = scratch.sums;
  std::vector<const float*>& biases = scratch.biases;
  sums.resize(tile);
  biases.resize(tile);
  for (std::size_t t = first_tile; t < end_tile; ++t) {
    const std::vector<std::uint32_t>& visible = mask.visible[t];
    const std::size_t begin = t * tile;
    const std::size_t here = std::min(tile, rows - begin);
    const std::size_t count = visible.size() * kPanelColumns;
    for (std::size_t r = 0; r < here; ++r) {
      biases[r] = bias + r * count;
      for (std::size_t i = 0; i < visible.size(); ++i) {
        std::memcpy(bias + r * count + i * kPanelColumns, at<float>(a.mask, begin + r) + visible[i] * kPanelColumns,
                    kPanelColumns * sizeof(float));
      }
    }
    for (std::size_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      kernels_.pack_rows(at<float>(a.q, begin, head), a.q->nb[1] / sizeof(float), here, width, query);
      for (std::size_t i = 0; i < visible.size(); ++i) {
        kernels_.product(query, here, keys_.data() + panels.key(kv_head, visible[i]), kPanelColumns, width,
                         scores + i * kPanelColumns, count, false);
      }
      kernels_.soft_max(scores, biases.data(), here, count, a.scale, weights, sums.data());
      const std::size_t stride = panels.value_panels * kPanelColumns;
      for (std::size_t p = 0; p < panels.value_panels; ++p) {
        for (std::size_t i = 0; i < visible.size(); ++i) {
          kernels_.product(weights + i * kPanelColumns * tile, here,
                           values_.data() + panels.value(kv_head, p, visible[i]), kPanelColumns, kPanelColumns,
                           result + p * kPanelColumns, stride, i > 0);
        }
      }
      for (std::size_t r = 0; r < here; ++r) {
        float* to = attended_.data() + (begin + r) * heads * value_width + head * value_width;
        const float inverse = 1 / sums[r];
        for (std::size_t j = 0; j < value_width; ++j) to[j] = result[r * stride + j] * inverse;
      }
    }
  }
}

}  // namespace coala
