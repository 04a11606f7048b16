#pragma once

#include <nlohmann/json_fwd.hpp>

#include "head/fit.h"

namespace coala {

// How a fit came about, for metrics.json.

/// The object "solver": Phase I with its selection, every candidate of the path, the certificate.
nlohmann::ordered_json solver_metrics(const FitResult& fit);
/// The object "phase2".
nlohmann::ordered_json phase_two_metrics(const FitResult& fit);
/// The object "relu_form". @param fit  whose head was turned into a ReLU network
nlohmann::ordered_json relu_form_metrics(const FitResult& fit);

}  // namespace coala
