#pragma once

#include <vector>

#include "judge/game_line.h"
#include "judge/judge.h"
#include "judge/transcript_file.h"

namespace coala {

/// Has replies scored one by one by a program or a head, those whose score the transcript does not know; each score is
/// in the transcript before it counts. Where the judge cannot score a reply without text, it has the lowest score of
/// all replies of the two sources.
/// @return  the transcript's lines of all replies
/// @throws what Judge::score_each() throws; the scores of a judge that is out of step are taken back first
std::vector<nlohmann::ordered_json> score_replies(const std::vector<ReplyPair>& pairs, const ComparedSources& sources,
                                                  Judge& judge, TranscriptFile& transcript);

}  // namespace coala
