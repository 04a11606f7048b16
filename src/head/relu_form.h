#pragma once

#include "core/parallel.h"
#include "head/network.h"
#include "head/training_rows.h"

namespace coala {

/// A gated network and its ReLU form, compared.
struct ReluForm {
  double gated_norm = 0;          ///< sum of the neurons' norms |theta2_j| ||theta1_j||, gated
  double relu_norm = 0;           ///< the same of the ReLU network
  double largest_score = 0;       ///< absolute, of a training response, by the gated network
  double largest_difference = 0;  ///< of the two scores of a training response
  double seconds = 0;
};

/// Replaces a gated network by a ReLU network with the same score on every training response (docs/math.md, "Cone
/// decomposition"). A gated neuron becomes two, an always open one is relu(w'x) - relu(-w'x). Elsewhere than on the
/// training responses the two networks differ.
/// @throws Error{BadInput} when a neuron is no difference of two ReLU neurons, which takes a gate through a row
ReluForm take_relu_form(Network& network, const TrainingRows& rows, ThreadPool& pool);

}  // namespace coala
