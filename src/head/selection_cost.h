#pragma once

#include "solver/gated.h"

namespace coala {

/// Work done so far by a selection.
struct SelectionCost {
  double seconds = 0;
  double flops = 0;
  double bytes_read = 0;   ///< of features, in all passes
  bool cut_short = false;  ///< by a deadline: candidates were left out

  void add(const GatedOperator<float>& f) {
    flops += f.flops();
    bytes_read += static_cast<double>(f.passes()) * static_cast<double>(f.bytes_per_pass());
  }
};

}  // namespace coala
