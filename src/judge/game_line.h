#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "judge/questions.h"

namespace coala {

/// The two sources that a run compares.
struct ComparedSources {
  std::array<std::string, 2> names;
  std::string set;  ///< hash of all pairs: files of the same names may hold others
};
ComparedSources compared_sources(std::array<std::string, 2> names, const std::vector<ReplyPair>& pairs);

/// Names a judge's game in a transcript.
/// @param key    hash of what the judge is asked, and of the judge
/// @param place  Pairs: where the first source's reply stands; Marks: which source's reply it is
std::string game_of(const ComparedSources& sources, const ReplyPair& pair, const std::string& key, std::size_t place);

/// What a transcript's line says beside the answer (docs/judging.md).
nlohmann::ordered_json game_line(const ComparedSources& sources, const ReplyPair& pair, const std::string& judge,
                                 const std::string& key, JudgeTask task, std::size_t place);

}  // namespace coala
