#pragma once

#include <string>
#include <vector>

#include "train/run_metrics.h"

namespace coala {

/// Did it work? In words, about the head that guides (the token head where there is one).
struct Verdict {
  enum class Kind { Worked, TooFew, DidNot };
  Kind kind = Kind::DidNot;
  std::string sentence;              ///< the answer, with the numbers behind it
  std::vector<std::string> remarks;  ///< what else matters of it, a sentence each
};

Verdict verdict_of(const RunMetrics& metrics);

}  // namespace coala
