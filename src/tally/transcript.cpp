#include "tally/transcript.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace coala {
namespace {

std::size_t place_of(const Annotation& line, const char* column) {
  const double place = number_of(line, column);
  if (place != 0 && place != 1) fail_at(line, fmt::format("\"{}\" is {}, expected is 0 or 1", column, place));
  return static_cast<std::size_t>(place);
}

/// Two values of a list.
const nlohmann::json& two(const Annotation& line, const char* column) {
  const auto list = line.object.find(column);
  if (list == line.object.end() || !list->is_array() || list->size() != 2) {
    fail_at(line, fmt::format("\"{}\" is no list of two", column));
  }
  return *list;
}

/// Preference for the source that was shown in `place`.
std::optional<double> preference(const Annotation& line, std::size_t place) {
  const auto verdict = line.object.find("verdict");
  if (verdict == line.object.end() || verdict->is_null()) return std::nullopt;
  const std::string said = text_of(line, "verdict");
  if (said == "tie") return 0.5;
  if (said != "first" && said != "second") fail_at(line, fmt::format("the verdict '{}' is none", said));
  return (said == "first") == (place == 0) ? 1 : 0;
}

/// Preference for the source that was shown in `place`, by the probabilities of the verdicts.
std::optional<double> weighted_preference(const Annotation& line, std::size_t place) {
  const auto verdicts = line.object.find("probabilities");
  if (verdicts == line.object.end()) return std::nullopt;
  if (!verdicts->is_object()) fail_at(line, "\"probabilities\" is no object");
  const Annotation inner{*verdicts, line.place + ", \"probabilities\""};
  const double first = number_of(inner, "first");
  const double second = number_of(inner, "second");
  const double tie = number_of(inner, "tie");
  const double all = first + second + tie;
  if (!(first >= 0 && second >= 0 && tie >= 0 && all > 0)) fail_at(line, "\"probabilities\" are none");
  return ((place == 0 ? first : second) + tie / 2) / all;
}

/// A whole number that older lines are without.
std::size_t count_of(const Annotation& line, const char* column, std::size_t fallback) {
  if (!line.object.contains(column)) return fallback;
  const double value = number_of(line, column);
  constexpr double kMost = 1e9;
  if (!(value >= 0 && value <= kMost)) fail_at(line, fmt::format("\"{}\" is {}, no count", column, value));
  return static_cast<std::size_t>(value);
}

/// A line's part of what its judge says of its pair. @return  whether an answer was there already
bool add_game(const Annotation& line, JudgedPair& judged) {
  judged.refused += line.object.contains("refused") ? 1 : 0;
  if (line.object.contains("verdict")) {
    const std::size_t place = place_of(line, "place");  // of the first source's reply
    const bool again = judged.games[place].has_value();
    judged.games[place] = preference(line, place);
    judged.weighted[place] = judged.games[place] ? weighted_preference(line, place) : std::nullopt;
    return again;
  }
  const std::size_t source = place_of(line, "source");
  const auto mark = line.object.find("mark");
  if (mark == line.object.end()) fail_at(line, "there is neither a \"verdict\" nor a \"mark\"");
  const bool again = judged.marks[source].has_value();
  judged.marks[source] = mark->is_null() ? std::nullopt : std::optional(number_of(line, "mark"));
  return again;
}

/// Judges of both kinds have the kind behind their names.
void tell_kinds_apart(std::vector<JudgedPair>& pairs, const std::vector<bool>& marks) {
  std::map<std::string, std::set<bool>> kinds;
  for (std::size_t i = 0; i < pairs.size(); ++i) kinds[pairs[i].judge].insert(marks[i]);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (kinds[pairs[i].judge].size() == 2) pairs[i].judge += marks[i] ? " (marks)" : " (pairs)";
  }
}

}  // namespace

std::vector<Comparison> read_comparisons(std::span<const Annotation> lines) {
  std::vector<Comparison> comparisons;
  std::vector<std::vector<bool>> marks;  // of each comparison's pairs: whether the judge was asked for marks
  std::map<std::tuple<std::string, std::string, std::string>, std::size_t> of_run;
  std::map<std::tuple<std::size_t, std::string, bool, std::string>, std::size_t> of_pair;  // place in its comparison
  std::set<std::pair<std::size_t, std::string>> named;
  for (const Annotation& line : lines) {
    const nlohmann::json& sources = two(line, "sources");
    const nlohmann::json& lengths = two(line, "lengths");
    if (!sources[0].is_string() || !sources[1].is_string()) fail_at(line, "\"sources\" are no texts");
    if (!lengths[0].is_number_integer() || !lengths[1].is_number_integer()) fail_at(line, "\"lengths\" are no numbers");
    const std::array names{sources[0].get<std::string>(), sources[1].get<std::string>()};
    const std::string set = line.object.contains("set") ? text_of(line, "set") : std::string();
    const auto [at, is_new] = of_run.emplace(std::tuple{names[0], names[1], set}, comparisons.size());
    if (is_new) {
      comparisons.push_back({names, set, {}, {}, 0});
      marks.emplace_back();
    }
    const std::size_t run = at->second;
    Comparison& comparison = comparisons[run];
    const PairName name{line.object.contains("id") ? id_of(line, "id") : std::string(),
                        count_of(line, "index", 0),
                        text_of(line, "pair"),
                        text_of(line, "prompt"),
                        {lengths[0].get<std::int64_t>(), lengths[1].get<std::int64_t>()},
                        static_cast<int>(count_of(line, "turns", 1))};
    if (named.insert({run, name.pair}).second) comparison.names.push_back(name);
    const std::string judge = text_of(line, "judge");
    const bool for_marks = !line.object.contains("verdict");
    const auto [pair, first_line] =
        of_pair.emplace(std::tuple{run, judge, for_marks, name.pair}, comparison.pairs.size());
    if (first_line) {
      JudgedPair judged{judge, name.pair, name.prompt, name.lengths};
      judged.turn = name.turn;
      comparison.pairs.push_back(std::move(judged));
      marks[run].push_back(for_marks);
    }
    comparison.replaced += add_game(line, comparison.pairs[pair->second]) ? 1 : 0;
  }
  for (std::size_t run = 0; run < comparisons.size(); ++run) {
    std::vector<JudgedPair>& pairs = comparisons[run].pairs;
    tell_kinds_apart(pairs, marks[run]);
    // Answers come in any order; the table does not depend on it.
    std::map<std::string, std::size_t> judges;
    for (const JudgedPair& pair : pairs) judges.emplace(pair.judge, judges.size());
    const auto place = [&judges](const JudgedPair& pair) { return std::pair(judges.at(pair.judge), pair.pair); };
    std::ranges::stable_sort(pairs, {}, place);
  }
  return comparisons;
}

}  // namespace coala
