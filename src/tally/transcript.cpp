#include "tally/transcript.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
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

}  // namespace

std::vector<Comparison> read_comparisons(std::span<const Annotation> lines) {
  std::vector<Comparison> comparisons;
  std::map<std::pair<std::string, std::string>, std::size_t> of_sources;
  std::map<std::pair<std::string, std::string>, std::size_t> of_pair;  // judge and pair: place in its comparison
  for (const Annotation& line : lines) {
    const nlohmann::json& sources = two(line, "sources");
    const nlohmann::json& lengths = two(line, "lengths");
    if (!sources[0].is_string() || !sources[1].is_string()) fail_at(line, "\"sources\" are no texts");
    if (!lengths[0].is_number_integer() || !lengths[1].is_number_integer()) fail_at(line, "\"lengths\" are no numbers");
    const std::pair names{sources[0].get<std::string>(), sources[1].get<std::string>()};
    const auto [comparison, is_new] = of_sources.emplace(names, comparisons.size());
    if (is_new) comparisons.push_back({{names.first, names.second}, {}});
    std::vector<JudgedPair>& pairs = comparisons[comparison->second].pairs;
    const std::string judge = text_of(line, "judge");
    const std::string pair_id = text_of(line, "pair");
    const auto [pair, first_line] =
        of_pair.emplace(std::pair{judge, fmt::format("{} {}", comparison->second, pair_id)}, pairs.size());
    if (first_line) {
      pairs.push_back({judge,
                       pair_id,
                       text_of(line, "prompt"),
                       {lengths[0].get<std::int64_t>(), lengths[1].get<std::int64_t>()},
                       {},
                       {}});
    }
    JudgedPair& judged = pairs[pair->second];
    if (line.object.contains("verdict")) {
      const std::size_t place = place_of(line, "place");  // of the first source's reply
      judged.games[place] = preference(line, place);
    } else {
      const std::size_t source = place_of(line, "source");
      const auto mark = line.object.find("mark");
      if (mark == line.object.end()) fail_at(line, "there is neither a \"verdict\" nor a \"mark\"");
      if (!mark->is_null()) judged.marks[source] = number_of(line, "mark");
    }
  }
  // Answers come in any order; the table does not depend on it.
  for (Comparison& comparison : comparisons) {
    std::map<std::string, std::size_t> judges;
    for (const JudgedPair& pair : comparison.pairs) judges.emplace(pair.judge, judges.size());
    const auto place = [&judges](const JudgedPair& pair) { return std::pair(judges.at(pair.judge), pair.pair); };
    std::ranges::stable_sort(comparison.pairs, {}, place);
  }
  return comparisons;
}

}  // namespace coala
