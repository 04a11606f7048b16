#include "tally/mt_bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"
#include "eval/intervals.h"
#include "eval/order_statistics.h"
#include "tally/annotations.h"

namespace coala {

std::vector<MarkScore> mark_scores(std::span<const Mark> marks, std::uint64_t seed) {
  constexpr double kUnread = -1;
  struct Of {
    std::map<int, std::vector<double>> turns;
    std::vector<double> all;
    std::vector<std::string> questions;
    std::size_t dropped = 0;
  };
  std::map<std::string, Of> models;
  int last_turn = 1;
  for (const Mark& mark : marks) {
    Of& model = models[mark.model];
    if (mark.score == kUnread) {
      ++model.dropped;
      continue;
    }
    model.turns[mark.turn].push_back(mark.score);
    model.all.push_back(mark.score);
    model.questions.push_back(mark.question);
    last_turn = std::max(last_turn, mark.turn);
  }
  std::vector<MarkScore> scores;
  for (auto& [name, model] : models) {
    if (model.all.empty()) continue;
    MarkScore score;
    score.model = name;
    for (int turn = 1; turn <= last_turn; ++turn) {
      const auto at = model.turns.find(turn);
      score.turns.push_back(at == model.turns.end() ? std::nullopt : std::optional(mean_with_error(at->second).mean));
    }
    score.overall = {mean_with_error(model.all).mean, bootstrap_mean(model.all, numbered(model.questions), seed)};
    score.marks = model.all.size();
    score.dropped = model.dropped;
    scores.push_back(std::move(score));
  }
  if (scores.empty()) throw Error(ErrorCode::BadInput, "no mark could be read: all are -1");
  std::ranges::stable_sort(scores, std::ranges::greater{}, [](const MarkScore& score) { return score.overall.value; });
  return scores;
}

namespace {

/// @throws Error{BadInput} naming the models that there are
void check_baseline(std::span<const MarkedPair> pairs, const std::string& baseline) {
  std::set<std::string> models;
  for (const MarkedPair& pair : pairs) models.insert(pair.models.begin(), pair.models.end());
  if (baseline.empty() || models.contains(baseline)) return;
  throw Error(ErrorCode::BadInput, fmt::format("the baseline {} is in no pair", baseline),
              fmt::format("name one of the models that were compared with --baseline: {}", fmt::join(models, ", ")));
}

}  // namespace

std::vector<PairScore> pair_scores(std::span<const MarkedPair> pairs, const std::string& baseline) {
  check_baseline(pairs, baseline);
  struct Of {
    std::vector<double> won;
    std::vector<std::string> questions;
  };
  std::map<std::string, Of> models;
  for (const MarkedPair& pair : pairs) {
    if (pair.winners[0] == "error" || pair.winners[1] == "error") continue;
    if (!baseline.empty() && pair.models[0] != baseline && pair.models[1] != baseline) continue;
    const bool tie = pair.winners[0] == "tie" || pair.winners[0] != pair.winners[1];
    for (std::size_t k = 0; k < 2; ++k) {
      Of& model = models[pair.models[k]];
      const bool won = pair.winners[0] == (k == 0 ? "model_1" : "model_2");
      model.won.push_back(tie ? 0.5 : won ? 1 : 0);
      model.questions.push_back(pair.question);
    }
  }
  models.erase(baseline);
  std::vector<PairScore> scores;
  for (const auto& [name, model] : models) {
    PairScore score;
    score.model = name;
    score.wins = static_cast<std::size_t>(std::ranges::count(model.won, 1.0));
    score.losses = static_cast<std::size_t>(std::ranges::count(model.won, 0.0));
    score.ties = model.won.size() - score.wins - score.losses;
    const auto all = static_cast<double>(model.won.size());
    score.win_rate = static_cast<double>(score.wins) / all;
    score.loss_rate = static_cast<double>(score.losses) / all;
    score.adjusted = {(static_cast<double>(score.wins) + 0.5 * static_cast<double>(score.ties)) / all,
                      proportion_interval(model.won, numbered(model.questions))};
    scores.push_back(std::move(score));
  }
  if (scores.empty()) throw Error(ErrorCode::BadInput, "no pair was judged in both orders");
  std::ranges::stable_sort(scores, std::ranges::greater{}, [](const PairScore& score) { return score.adjusted.value; });
  return scores;
}

}  // namespace coala
