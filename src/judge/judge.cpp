#include "judge/judge.h"

namespace coala {

std::vector<double> Judge::scores(std::span<const ReplyToJudge> replies) {
  std::vector<double> scores(replies.size());
  score_each(replies, [&scores](std::size_t i, double score) { scores[i] = score; });
  return scores;
}

}  // namespace coala
