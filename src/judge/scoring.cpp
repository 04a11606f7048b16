#include "judge/scoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/hash.h"
#include "core/progress.h"
#include "data/prompt_json.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// Both replies of all pairs: pair i's are 2 i and 2 i + 1.
class Replies {
 public:
  Replies(const std::vector<ReplyPair>& pairs, const ComparedSources& sources, const Judge& judge,
          TranscriptFile& transcript)
      : pairs_(pairs), transcript_(transcript) {
    for (std::size_t i = 0; i < 2 * pairs.size(); ++i) {
      const std::string asked = prompt_json(pairs[i / 2].asked).dump(-1, ' ', false, Json::error_handler_t::replace);
      Hasher hasher;
      hasher.add(judge.identity()).add(asked).add(text(i));
      // Its score is that of other replies.
      if (text(i).empty() && !judge.scores_nothing()) hasher.add(sources.set);
      lines_.push_back(game_line(sources, pairs[i / 2], judge.name(), hasher.hex(), JudgeTask::Marks, i % 2));
    }
  }

  const std::string& text(std::size_t i) const { return pairs_[i / 2].replies[i % 2]; }
  std::string key(std::size_t i) const { return lines_[i].at("key").get<std::string>(); }
  std::size_t size() const { return lines_.size(); }
  ReplyToJudge reply(std::size_t i) const { return {pairs_[i / 2].id, &pairs_[i / 2].asked, text(i)}; }

  /// Takes what the transcript knows. @return  whether it knows the score
  bool take_known(std::size_t i) {
    if (const Json* const played = transcript_.game(lines_[i].at("game").get<std::string>())) {
      lines_[i] = *played;
      return true;
    }
    const Json* const known = transcript_.answer(key(i));
    if (known == nullptr) return false;
    lines_[i]["same_as"] = known->at("game");
    set_mark(i, known->at("mark").get<double>());
    return true;
  }
  void set_mark(std::size_t i, double mark) {
    lines_[i]["mark"] = mark;
    transcript_.add(lines_[i]);
  }
  double lowest() const {
    double lowest = std::numeric_limits<double>::infinity();
    for (const Json& line : lines_) {
      if (line.contains("mark")) lowest = std::min(lowest, line.at("mark").get<double>());
    }
    return lowest == std::numeric_limits<double>::infinity() ? 0 : lowest;
  }
  std::vector<Json> take_lines() { return std::move(lines_); }

 private:
  const std::vector<ReplyPair>& pairs_;
  TranscriptFile& transcript_;
  std::vector<Json> lines_;
};

}  // namespace

std::vector<Json> score_replies(const std::vector<ReplyPair>& pairs, const ComparedSources& sources, Judge& judge,
                                TranscriptFile& transcript) {
  Replies replies(pairs, sources, judge, transcript);
  std::map<std::string, std::size_t> asked;     // keys, and their place in `to_judge`
  std::vector<std::vector<std::size_t>> whose;  // of to_judge: all replies that are the same
  std::vector<ReplyToJudge> to_judge;
  std::vector<std::size_t> empty;
  std::size_t known = 0;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies.take_known(i)) {
      ++known;
    } else if (replies.text(i).empty() && !judge.scores_nothing()) {
      empty.push_back(i);
    } else {
      const auto [place, is_new] = asked.emplace(replies.key(i), to_judge.size());
      if (is_new) {
        to_judge.push_back(replies.reply(i));
        whose.emplace_back();
      }
      whose[place->second].push_back(i);
    }
  }
  log_line(fmt::format("asking {} about {} replies, {} of them known", judge.name(), replies.size(), known));
  const std::uint64_t before = transcript.bytes();
  if (!to_judge.empty()) {
    Progress progress("asking " + judge.name(), replies.size(), "replies", known);
    try {
      judge.score_each(to_judge, [&](std::size_t k, double score) {
        replies.set_mark(whose[k].front(), score);
        for (const std::size_t i : whose[k]) {
          if (i != whose[k].front()) replies.take_known(i);
        }
        progress.advance(whose[k].size());
      });
    } catch (const OutOfStep&) {
      transcript.cut_back(before);
      throw;
    }
  }
  const double lowest = replies.lowest();
  for (const std::size_t i : empty) {
    if (!replies.take_known(i)) replies.set_mark(i, lowest);
  }
  return replies.take_lines();
}

}  // namespace coala
