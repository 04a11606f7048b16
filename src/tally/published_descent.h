#pragma once

#include <functional>
#include <span>
#include <vector>

namespace coala {

/// The value of a function at x, and its gradient.
using Objective = std::function<double(std::span<const double> x, std::span<double> gradient)>;

/// What Arena-Hard v2.0 calls its Bradley-Terry fit: limited-memory BFGS without line search, each step a tenth of the
/// quasi-Newton step, 50 of them, as PyTorch's optimiser takes them. It stops some thousandths of the way before the
/// optimum, so the published figures are of these steps and not of the maximum of the likelihood.
std::vector<double> published_descent(const Objective& objective, std::vector<double> start);

}  // namespace coala
