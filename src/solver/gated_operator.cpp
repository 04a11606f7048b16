#include "solver/gated_operator.h"

#include <algorithm>
#include <cassert>

#include "solver/gates.h"

namespace coala {
namespace {

template <class T>
GatedData with_transform(const DesignRows<T>& rows) {
  GatedData data;
  if (rows.transform != nullptr) {
    data.mean = rows.transform->mean;
    data.scale = rows.transform->scale;
  }
  return data;
}

template <class T>
GatedData gated_data(const DesignRows<T>& rows, MatrixView<const T> gates, ThreadPool& pool) {
  GatedData data = with_transform(rows);
  for (const auto& [plus, minus] : rows.segments) {
    data.segments.push_back(
        {plus, minus, gate_pattern(rows, plus, gates, pool), gate_pattern(rows, minus, gates, pool)});
  }
  return data;
}

template <class T>
GatedData gated_data(const DesignRows<T>& rows, const Matrix<std::uint8_t>& pattern) {
  assert(rows.segments.size() == 1 && !rows.pairwise() && pattern.rows() == rows.rows());
  GatedData data = with_transform(rows);
  data.segments.push_back({rows.segments.front().plus, {}, pattern, {}});
  return data;
}

}  // namespace

template <class T>
GatedOperator<T>::GatedOperator(DesignRows<T> rows, MatrixView<const T> gates, ThreadPool& pool)
    : rows_(std::move(rows)), pool_(&pool), host_(gated_data(rows_, gates, pool), pool) {}

template <class T>
GatedOperator<T>::GatedOperator(DesignRows<T> rows, const Matrix<std::uint8_t>& pattern, ThreadPool& pool)
    : rows_(std::move(rows)), pool_(&pool), host_(gated_data(rows_, pattern), pool) {}

template <class T>
PassRows& GatedOperator<T>::on(Backend& backend,
                               std::shared_ptr<const LoadedFeatures> features) requires std::same_as<T, float> {
  if (backend.on_host()) return host_;
  const auto there = std::ranges::find(loaded_, &backend, &Loaded::backend);
  if (there != loaded_.end()) return *there->rows;
  GatedData data = host_.data();
  data.loaded = std::move(features);
  loaded_.push_back({&backend, backend.load_rows(std::move(data))});
  return *loaded_.back().rows;
}

template <class T>
void GatedOperator<T>::forward(MatrixView<const T> w, std::span<T> z) {
  host_.run(w, nullptr, z, {}, {});
}

template <class T>
void GatedOperator<T>::adjoint(std::span<const T> r, MatrixView<T> g) {
  host_.run({}, nullptr, {}, r, g);
}

template <class T>
void GatedOperator<T>::fused_blocks(MatrixView<const T> w, const BlockMap& map, MatrixView<T> g) {
  host_.run(w, &map, {}, {}, g);
}

template <class T>
void GatedOperator<T>::fused(MatrixView<const T> w, const std::function<T(std::size_t, T)>& map, MatrixView<T> g) {
  const BlockMap blocks = [&](std::size_t, std::size_t first, std::span<T> z) {
    for (std::size_t i = 0; i < z.size(); ++i) z[i] = map(first + i, z[i]);
  };
  host_.run(w, &blocks, {}, {}, g);
}

std::shared_ptr<const LoadedFeatures> load_features(const DesignRows<float>& rows, Backend& backend) {
  GatedData data = with_transform(rows);
  for (const auto& [plus, minus] : rows.segments) data.segments.push_back({plus, minus, {}, {}});
  return backend.load_features(data);
}

template class GatedOperator<float>;
template class GatedOperator<double>;

}  // namespace coala
