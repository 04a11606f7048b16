#include "decode/reply.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace coala {

const char* finish_name(Finish finish) {
  switch (finish) {
    case Finish::Stop:
      return "stop";
    case Finish::Length:
      return "length";
    case Finish::Context:
      return "context";
  }
  throw Error(ErrorCode::Internal, "an ending without a name");
}

std::size_t best_of(std::span<const Reply> candidates) {
  const auto score = [](const Reply& reply) { return reply.score.value_or(-std::numeric_limits<double>::infinity()); };
  return static_cast<std::size_t>(std::ranges::max_element(candidates, {}, score) - candidates.begin());
}

}  // namespace coala
