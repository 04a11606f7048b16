#include "decode/reply.h"

#include <algorithm>

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

std::size_t highest_score(std::span<const std::optional<double>> scores) {
  return static_cast<std::size_t>(std::ranges::max_element(scores) - scores.begin());
}

std::size_t best_of(std::span<const Reply> candidates) {
  std::vector<std::optional<double>> scores;
  for (const Reply& reply : candidates) scores.push_back(reply.score);
  return highest_score(scores);
}

}  // namespace coala
