#include "data/ranking.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/utf8.h"
#include "data/answers.h"
#include "data/prompt_columns.h"

namespace coala {
namespace {

using nlohmann::json;

constexpr std::array kResponseLists{"answers", "completions", "responses", "candidates", "generations", "outputs"};

/// How the places are told: the name, whether a lower number is better, and whether differences are grades.
struct Measure {
  const char* name;
  bool lower_is_better;
  bool graded;
};
constexpr std::array<Measure, 8> kInObjects{{{"rank", true, false},
                                             {"overall_score", false, true},
                                             {"score", false, true},
                                             {"rating", false, true},
                                             {"reward", false, true},
                                             {"pm_score", false, false},
                                             {"votes", false, false},
                                             {"upvotes", false, false}}};
constexpr std::array<Measure, 6> kInLists{{{"ratings", false, true},
                                           {"rating", false, true},
                                           {"scores", false, true},
                                           {"rewards", false, true},
                                           {"ranks", true, false},
                                           {"rank", true, false}}};

const char* list_column(const Row& row) {
  for (const char* column : kResponseLists) {
    if (row.has_list(column) && !row.object().at(column).empty()) return column;
  }
  return nullptr;
}

const Measure* measure_in(const json& item) {
  if (!item.is_object()) return nullptr;
  for (const Measure& measure : kInObjects) {
    if (item.contains(measure.name)) return &measure;
  }
  return nullptr;
}

const Measure* measure_beside(const Row& row, std::size_t count) {
  for (const Measure& measure : kInLists) {
    if (row.has_list(measure.name) && row.object().at(measure.name).size() == count) return &measure;
  }
  return nullptr;
}

}  // namespace

std::vector<Pair> pairs_of_ranking(const Row& row, const Prompt& prompt, const std::vector<Ranked>& ranked, bool graded,
                                   Rankings rankings, ReaderCounts& counts) {
  if (ranked.size() > kMostRanked) {
    row.fail(fmt::format("it has {} responses; expected at most {}", ranked.size(), kMostRanked),
             "write the pairs that matter as prompt, chosen, rejected");
  }
  std::vector<Pair> pairs;
  const auto add = [&](const Ranked& a, const Ranked& b) {
    if (a.quality == b.quality) {
      ++counts.ties;
      return;
    }
    const Ranked& better = a.quality > b.quality ? a : b;
    const Ranked& worse = a.quality > b.quality ? b : a;
    Pair pair;
    pair.prompt = prompt;
    pair.chosen = better.text;
    pair.rejected = worse.text;
    if (graded) pair.margin = better.quality - worse.quality;
    pairs.push_back(std::move(pair));
  };
  if (rankings == Rankings::All) {
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      for (std::size_t j = i + 1; j < ranked.size(); ++j) add(ranked[i], ranked[j]);
    }
    return pairs;
  }
  const auto best = std::max_element(ranked.begin(), ranked.end(),
                                     [](const Ranked& a, const Ranked& b) { return a.quality < b.quality; });
  for (auto other = ranked.begin(); other != ranked.end(); ++other) {
    if (other != best) add(*best, *other);
  }
  return pairs;
}

bool is_ranking(const Row& row) {
  const char* column = list_column(row);
  if (column == nullptr) return false;
  const json& list = row.object().at(column);
  return measure_in(list.front()) != nullptr || measure_beside(row, list.size()) != nullptr;
}

std::vector<Pair> read_ranking(const Row& row, Rankings rankings, ReaderCounts& counts) {
  const char* column = list_column(row);
  if (column == nullptr)
    row.fail_columns("there is no list of responses", fmt::format("one of {}", fmt::join(kResponseLists, ", ")));
  const json& list = row.get(column, "a list of responses");
  const Measure* beside = measure_in(list.front()) == nullptr ? measure_beside(row, list.size()) : nullptr;
  const Measure* measure = beside != nullptr ? beside : measure_in(list.front());
  if (measure == nullptr) {
    row.fail_columns(fmt::format("nothing says which response of \"{}\" is better", column),
                     "ratings, scores or ranks: a list as long, or a number in each response");
  }
  if (beside != nullptr) row.mark_read(beside->name);
  // UltraFeedback's lists of right and wrong answers to a few of its questions.
  row.mark_read("correct_answers");
  row.mark_read("incorrect_answers");
  const Prompt prompt = read_prompt(row);
  std::vector<Ranked> ranked;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string where = fmt::format("response {} of column \"{}\"", i + 1, column);
    const json& item = list[i];
    if (beside == nullptr && !item.is_object()) row.fail(fmt::format("{} is no object", where));
    const auto inner = beside == nullptr ? item.find(measure->name) : item.end();
    const json grade = beside != nullptr ? row.object().at(beside->name)[i] : inner != item.end() ? *inner : json();
    const std::vector<Answer> answer = answers_of(row, item, where);
    if (grade.is_null() || answer.empty()) {
      ++counts.unrated;
      continue;
    }
    if (!grade.is_number()) row.fail(fmt::format("the \"{}\" of {} is not a number", measure->name, where));
    const double value = grade.get<double>();
    ranked.push_back(
        {response_to(row, where, answer.front(), prompt.messages), measure->lower_is_better ? -value : value});
  }
  if (ranked.size() < 2) ++counts.alone;
  return pairs_of_ranking(row, prompt, ranked, measure->graded, rankings, counts);
}

}  // namespace coala
