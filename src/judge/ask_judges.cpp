#include "judge/ask_judges.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>

#include "core/hash.h"
#include "core/progress.h"
#include "core/utf8.h"
#include "judge/asking.h"
#include "judge/game_line.h"
#include "judge/scoring.h"
#include "judge/transcript_file.h"
#include "tally/annotation_tables.h"
#include "tally/transcript.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// A line of a transcript as an annotation.
Annotation annotation_of(const Json& line, const std::string& place) {
  return {nlohmann::json::parse(line.dump(-1, ' ', false, Json::error_handler_t::replace)), place};
}

std::vector<PairName> names_of(const std::vector<ReplyPair>& pairs) {
  std::vector<PairName> names;
  for (const ReplyPair& pair : pairs) {
    const auto length = [&pair](std::size_t k) { return static_cast<std::int64_t>(count_characters(pair.replies[k])); };
    names.push_back({pair.id, pair.index, pair.pair, hash_text(pair.prompt), {length(0), length(1)}, pair.turns});
  }
  return names;
}

}  // namespace

Json ask_judges(const AskSettings& settings, std::span<Judge* const> judges) {
  const std::vector<ReplyPair> pairs = read_reply_pairs(settings.replies, settings.against);
  const ComparedSources sources = compared_sources({std::filesystem::path(settings.replies).filename().string(),
                                                    std::filesystem::path(settings.against).filename().string()},
                                                   pairs);
  TranscriptFile transcript(settings.transcript);
  std::optional<Endpoint> endpoint;
  if (!settings.endpoint.url.empty()) endpoint.emplace(settings.endpoint);
  Json result{{"format", "coala"}, {"pairs", pairs.size()}, {"estimate", Json::array()}};
  std::vector<Annotation> lines;
  const auto take = [&](const std::vector<Json>& judged) {
    for (const Json& line : judged) lines.push_back(annotation_of(line, settings.transcript));
  };
  bool complete = true;
  for (const std::string& model : settings.models) {
    Asking asking(pairs, {sources, settings.task, model, settings.most_answer_tokens, settings.parallel}, transcript);
    const AskingPlan& plan = asking.plan();
    log_line(fmt::format("{}: {} questions about {} pairs, {} to be asked: about {:.0f} tokens in, {:.0f} out at most",
                         model, plan.games, pairs.size(), plan.requests, plan.prompt_tokens, plan.most_answer_tokens));
    result["estimate"].push_back({{"judge", model},
                                  {"questions", plan.games},
                                  {"requests", plan.requests},
                                  {"prompt_tokens", plan.prompt_tokens},
                                  {"most_answer_tokens", plan.most_answer_tokens}});
    if (settings.estimate) continue;
    complete = asking.ask(*endpoint) && complete;
    take(asking.lines());
  }
  result["comparisons"] = Json::array();
  if (settings.estimate) return result;
  for (Judge* const judge : judges) take(score_replies(pairs, sources, *judge, transcript));
  result["calls"] = endpoint ? endpoint->calls() : 0;
  result["complete"] = complete;
  if (!complete) {
    log_warning(
        fmt::format("{} calls are made, which is all that --most-calls allows: the table is of what is "
                    "answered, and the same command goes on",
                    endpoint->calls()));
  }
  std::vector<Comparison> comparisons = read_comparisons(lines);
  if (!settings.labels.empty()) {
    if (comparisons.empty()) comparisons.push_back({sources.names, sources.set, {}, {}, 0});
    comparisons.front().names = names_of(pairs);  // those that no judge has answered yet have labels too
    add_labels(settings.labels, comparisons);
  }
  result["comparisons"] = comparison_tables(comparisons, settings.seed);
  return result;
}

}  // namespace coala
