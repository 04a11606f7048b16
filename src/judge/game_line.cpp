#include "judge/game_line.h"

#include <utility>

#include "core/hash.h"
#include "core/utf8.h"

namespace coala {

ComparedSources compared_sources(std::array<std::string, 2> names, const std::vector<ReplyPair>& pairs) {
  Hasher hasher;
  for (const ReplyPair& pair : pairs) hasher.add(pair.pair);
  return {std::move(names), hasher.hex()};
}

std::string game_of(const ComparedSources& sources, const ReplyPair& pair, const std::string& key, std::size_t place) {
  Hasher hasher;
  hasher.add(key).add(sources.names[0]).add(sources.names[1]).add(sources.set).add(pair.pair);
  return hasher.add(static_cast<std::int64_t>(place)).hex();
}

nlohmann::ordered_json game_line(const ComparedSources& sources, const ReplyPair& pair, const std::string& judge,
                                 const std::string& key, JudgeTask task, std::size_t place) {
  return {{"coala_judgment", 1},
          {"game", game_of(sources, pair, key, place)},
          {"key", key},
          {"judge", judge},
          {"sources", sources.names},
          {"set", sources.set},
          {"id", pair.id},
          {"index", pair.index},
          {"pair", pair.pair},
          {"prompt", hash_text(pair.prompt)},
          {"turns", pair.turns},
          {"lengths", {count_characters(pair.replies[0]), count_characters(pair.replies[1])}},
          {task == JudgeTask::Pairs ? "place" : "source", place}};
}

}  // namespace coala
