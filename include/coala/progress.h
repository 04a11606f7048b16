#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "coala/api.h"

namespace coala {

/// How a long stage is doing.
struct ProgressState {
  std::uint64_t id = 0;  ///< of the stage, different for each
  std::string stage;
  std::string unit;         ///< what is counted, in the plural ("tokens")
  std::uint64_t done = 0;   ///< units
  std::uint64_t total = 0;  ///< 0: a stage of one piece
  bool at_most = false;     ///< the stage may end before the total
  double elapsed_s = 0;
  std::optional<double> per_second;  ///< units; nothing while it is too early to say, as for the next
  std::optional<double> left_s;
  bool ended = false;
};

/// Where news goes. The library itself never prints: it is silent until somebody takes the news.
class COALA_API NewsSink {
 public:
  virtual ~NewsSink() = default;
  virtual void line(const std::string& text) = 0;
  virtual void warning(const std::string& text) = 0;
  /// Called often, from any thread but by one at a time: what of it is shown is the sink's affair.
  virtual void progress(const ProgressState& state) = 0;
};

}  // namespace coala
