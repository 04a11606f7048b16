#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "core/aligned.h"
#include "core/parallel.h"
#include "linalg/bfloat_kernels.h"
#include "linalg/dense_kernels.h"
#include "lm/few_rows.h"
#include "lm/precision.h"

struct ggml_cgraph;
struct ggml_tensor;

namespace coala {

/// Is nothing computed for the node: is it another view of numbers that are there?
bool is_no_operation(const ggml_tensor& node);

/// Nodes of a graph from one on.
struct GraphTail {
  const ggml_cgraph* graph;
  int first;

  std::span<ggml_tensor* const> nodes() const;
};

/// Nodes of a ggml graph that our kernels compute: products of a matrix of weights with rows, attention without the
/// detour over its scores in memory, GELU, and the scattering of a transposed cache.
///
/// A row's product does not depend on the other rows. In attention a row meets blocks of 32 cells of the cache, and
/// leaves out those in which it (of many rows: it and its neighbours) sees nothing.
///
/// ggml's allocator knows nodes one by one. Where several are computed together, the last one's result may lie over
/// anything that an earlier one was the last to read, so it is put there when all reading is over. A node by itself
/// never lies over what it reads, unless ggml could compute it in place, and of ours none can be.
class GraphKernels {
 public:
  explicit GraphKernels(const DenseKernels& kernels) : kernels_(kernels), few_rows_(kernels) {}

  /// What was learnt about the last graph's tensors no longer holds.
  /// @param exact_rows  no row is rounded to the type of the weights
  void begin_graph(Precision precision, bool exact_rows) {
    precision_ = precision;
    exact_rows_ = exact_rows;
    masks_.clear();
    packed_rows_ = nullptr;
  }

  /// How many nodes at the front run() would compute; 0 when it has no kernel for the first.
  int match(const GraphTail& tail) const;
  void run(const GraphTail& tail, ThreadPool& pool);

 private:
  /// For each tile of rows, the blocks of cells that some row of it sees.
  struct Mask {
    std::vector<std::vector<std::uint32_t>> visible;
    std::vector<std::uint32_t> all;  ///< the blocks that any tile sees
    bool alike = false;              ///< do the tiles see nearly the same blocks?
    /// Of few rows: each one's numbers of the mask at the cells that it meets, and where they begin.
    AlignedVector<float> bias;
    std::vector<std::size_t> bias_begin;

    /// Do all rows meet the cells that any of them sees?
    bool meets_all() const { return alike && visible.size() > 1; }
  };
  /// What a thread's attention works in; kept, since a layer's takes some microseconds when there are few rows.
  struct Scratch {
    AlignedVector<float> query, scores, weights, bias, part, result;
    std::vector<const float*> biases;
    std::vector<float> sums;
  };
  struct Attention;
  struct CellPanels;

  bool is_product(const ggml_tensor& node) const;
  /// Do so many rows meet these weights turned over, or as they are stored?
  bool turns_over(const ggml_tensor& weights, std::int64_t rows) const;
  void multiply(const ggml_tensor& node, ThreadPool& pool);
  void multiply_rounded(const ggml_tensor& node, ThreadPool& pool);
  /// `count` rows of weights from `first` on, `step` numbers of each from `from` on.
  void pack_weights(const ggml_tensor& w, std::size_t first, std::size_t count, std::size_t from, std::size_t step,
                    float* panel) const;
  void attend(const Attention& attention, ThreadPool& pool);
  /// Turns the keys and values that somebody sees over, into keys_ and values_.
  void pack_cells(const Attention& attention, const Mask& mask, ThreadPool& pool);
  /// Tiles [first_tile, end_tile) of the heads that share a head of keys, turned over.
  void attend_tiles(const Attention& attention, const Mask& mask, std::size_t kv_head, std::size_t first_tile,
                    std::size_t end_tile, Scratch& scratch);
  void attend_rows(const Attention& attention, const Mask& mask, std::size_t kv_head, Scratch& scratch);
  const Mask& mask_of(const ggml_tensor& mask, std::size_t rows, std::size_t cells, std::size_t tile);
  static void collect_bias(const ggml_tensor& mask, std::size_t rows, Mask& result);

  const DenseKernels& kernels_;
  FewRows few_rows_;
  Precision precision_ = Precision::F32;
  bool exact_rows_ = false;
  AlignedVector<float> packed_;
  const ggml_tensor* packed_rows_ = nullptr;  ///< whose numbers they are
  AlignedVector<std::uint16_t> rounded_;
  AlignedVector<float> keys_, values_;        ///< of a layer, turned over
  AlignedVector<float> attended_;             ///< [rows][heads][value width]: what attention found, until all is read
  std::map<const ggml_tensor*, Mask> masks_;  ///< layers share their mask
  std::vector<Scratch> scratch_;              ///< one per thread
};

}  // namespace coala
