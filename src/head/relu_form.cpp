#include "head/relu_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/resources.h"
#include "head/relu_network.h"
#include "linalg/blas.h"
#include "solver/cone_decomposition.h"

namespace coala {
namespace {

/// Neurons that say something, with the bias of the gated network.
Network without_empty(const Network& from, float bias) {
  Network network;
  const auto used = static_cast<std::size_t>(std::ranges::count_if(from.theta2, [](float v) { return v != 0; }));
  network.theta1 = Matrix<float>(used, from.theta1.cols());
  for (std::size_t j = 0; j < from.neurons(); ++j) {
    if (from.theta2[j] == 0) continue;
    std::ranges::copy(from.theta1.row(j), network.theta1.row(network.theta2.size()).begin());
    network.theta2.push_back(from.theta2[j]);
  }
  network.bias = bias;
  return network;
}

void compare(const TrainingRows& rows, std::size_t side, const Network& gated, const Network& relu, ThreadPool& pool,
             ReluForm& form) {
  std::vector<ReluForm> parts(static_cast<std::size_t>(pool.size()));
  pool.for_parts(rows.responses(), 64, [&](int worker, std::size_t begin, std::size_t end) {
    ReluForm& part = parts[static_cast<std::size_t>(worker)];
    std::vector<float> x(rows.dimension());
    for (std::size_t i = begin; i < end; ++i) {
      rows.read(side, i, x);
      const double score = gated.score(x);
      part.largest_score = std::max(part.largest_score, std::abs(score));
      part.largest_difference = std::max(part.largest_difference, std::abs(score - relu.score(x)));
    }
  });
  for (const ReluForm& part : parts) {
    form.largest_score = std::max(form.largest_score, part.largest_score);
    form.largest_difference = std::max(form.largest_difference, part.largest_difference);
  }
}

}  // namespace

ReluForm take_relu_form(Network& network, const TrainingRows& rows, ThreadPool& pool) {
  const double start_s = monotonic_s();
  // Of the weights that the scores see, theta2_j theta1_j: so Phase II's second layer is in them, whatever its sign.
  Matrix<float> weights = network.theta1;
  for (std::size_t j = 0; j < network.neurons(); ++j) {
    for (float& value : weights.row(j)) value *= network.theta2[j];
  }
  const Matrix<float>& w = weights;
  const ConeDecomposition split =
      decompose_into_cones(rows.design(), static_cast<const Matrix<float>&>(network.gates).view(), w.view(), pool);
  for (std::size_t j = 0; j < split.status.size(); ++j) {
    if (split.status[j] == SplitStatus::Exact) continue;
    throw Error(ErrorCode::BadInput,
                fmt::format("neuron {} of {} cannot be written with ReLU neurons: {}", j, network.neurons(),
                            split.status[j] == SplitStatus::NoSplit ? "its gate goes through training rows"
                                                                    : "its cone is too thin for double precision"),
                "train without --as-relu; the gated head is as good");
  }
  const Network relu = without_empty(relu_network(split.network), network.bias);
  ReluForm form;
  form.gated_norm = split.gated_norm;
  form.relu_norm = split.relu_norm;
  for (std::size_t side = 0; side < (rows.from_pairs() ? 2U : 1U); ++side) {
    compare(rows, side, network, relu, pool, form);
  }
  network = relu;
  form.seconds = monotonic_s() - start_s;
  return form;
}

}  // namespace coala
