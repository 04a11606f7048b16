#include "judge/best_and_worst.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "core/progress.h"
#include "data/answer_groups.h"

namespace coala {

void decide_by_judge(std::span<const std::vector<Labelled>> groups, Judge& judge, DecisionFile& decisions) {
  struct Asked {
    std::string id;
    std::span<const Labelled> answers;
    std::size_t end;  ///< of its replies
  };
  std::vector<Asked> asked;
  std::vector<ReplyToJudge> replies;
  for (const std::vector<Labelled>& group : groups) {
    std::string id = decision_id(group);
    if (decisions.knows(id)) continue;
    for (const Labelled& answer : group) replies.push_back({answer.id, &answer.prompt, answer.response});
    asked.push_back({std::move(id), group, replies.size()});
  }
  log_line(fmt::format("asking {} about {} replies to {} prompts; {} more are decided", judge.name(), replies.size(),
                       asked.size(), groups.size() - asked.size()));
  if (replies.empty()) return;
  Progress progress("asking " + judge.name(), replies.size(), "replies");
  std::vector<double> scores;  // of the answers to the prompt that is being decided
  auto next = asked.begin();
  const auto decide = [&](std::size_t i, double score) {
    scores.push_back(score);
    progress.advance(1);
    if (i + 1 != next->end) return;
    const auto [worst, best] = std::ranges::minmax_element(scores);
    const auto& worse = next->answers[static_cast<std::size_t>(worst - scores.begin())];
    const auto& better = next->answers[static_cast<std::size_t>(best - scores.begin())];
    decisions.add({next->id, worse.prompt, worse.response, better.response}, *best > *worst ? 1 : 0);
    scores.clear();
    ++next;
  };
  try {
    judge.score_each(replies, decide);
  } catch (const OutOfStep&) {  // the scores may be those of other replies
    while (decisions.undo()) {
    }
    throw;
  }
}

}  // namespace coala
