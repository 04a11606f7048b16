#include "data/answer_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "core/hash.h"
#include "data/split.h"

namespace coala {

std::vector<std::vector<Labelled>> answers_by_prompt(const RecordStore& store) {
  std::vector<std::vector<Labelled>> groups;
  std::map<std::string, std::size_t> places;
  RecordCursor cursor(store);
  for (Record record; cursor.next(record);) {
    Labelled& answer = std::get<Labelled>(record);
    const auto [place, is_new] = places.emplace(prompt_key(answer), groups.size());
    if (is_new) groups.emplace_back();
    std::vector<Labelled>& group = groups[place->second];
    const auto same = [&](const Labelled& other) { return other.response == answer.response; };
    if (std::ranges::none_of(group, same)) group.push_back(std::move(answer));
  }
  return groups;
}

std::string decision_id(std::span<const Labelled> answers) {
  std::uint64_t hash = hash64(prompt_key(answers.front()));
  for (const Labelled& answer : answers) hash = hash64(answer.response, hash);
  return fmt::format("{}-{:08x}", answers.front().id, hash & 0xffffffffu);
}

}  // namespace coala
