#include "judge/score_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/hash.h"
#include "core/progress.h"
#include "data/prompt_json.h"
#include "data/split.h"
#include "extract/encoded_record.h"
#include "extract/extract_file.h"

namespace coala {
namespace {

using Json = nlohmann::ordered_json;

/// Of each answer its place among those to the same prompt, from 1; empty where every prompt has one answer.
std::vector<std::size_t> ranks(const std::vector<std::uint64_t>& prompts, const std::vector<double>& scores) {
  std::map<std::uint64_t, std::vector<double>> of_prompt;
  for (std::size_t i = 0; i < prompts.size(); ++i) of_prompt[prompts[i]].push_back(scores[i]);
  if (of_prompt.size() == prompts.size()) return {};
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto better = [&](double other) { return other > scores[i]; };
    places.push_back(1 + static_cast<std::size_t>(std::ranges::count_if(of_prompt[prompts[i]], better)));
  }
  return places;
}

/// What is printed of a record before its rank is known.
struct ScoredRecords {
  std::vector<Json> lines;
  // Of responses that stand by themselves, in the order of the lines:
  std::vector<std::uint64_t> prompts;  ///< hashes
  std::vector<double> scores;
};

Json line_of(const Head& head, const std::string& id, const Prompt& prompt, const std::string& text, double score) {
  if (!std::isfinite(score)) {
    throw Error(ErrorCode::BadInput, fmt::format("record '{}': its score is not finite", id),
                "the model file is damaged, or its states are far outside the range that the head was trained on");
  }
  Json line{{"id", id}};
  line.update(prompt_fields(prompt));
  line.update({{"text", text}, {"score", score}, {"probability", head.probability(score)}});
  return line;
}

/// One object per response, with prompt and text; the two of a pair carry its margin.
void add_lines(const Head& head, const Record& record, std::span<const double> scores, ScoredRecords& to) {
  if (const auto* answer = std::get_if<Labelled>(&record)) {
    Json line = line_of(head, answer->id, answer->prompt, answer->response, scores[0]);
    to.lines.push_back(std::move(line));
    to.prompts.push_back(hash64(prompt_key(record)));
    to.scores.push_back(scores[0]);
    return;
  }
  const Pair& pair = std::get<Pair>(record);
  for (const std::size_t k : {0, 1}) {
    Json line = line_of(head, pair.id, pair.prompt, k == 0 ? pair.chosen : pair.rejected, scores[k]);
    line["response"] = k == 0 ? "chosen" : "rejected";
    line["margin"] = scores[0] - scores[1];
    to.lines.push_back(std::move(line));
  }
}

}  // namespace

std::vector<Json> score_lines(const Head& head, Scorer& scorer, const RecordStore& store, bool skip_bad) {
  constexpr std::size_t kTogether = 256;
  ScoredRecords result;
  Progress progress("scoring", store.size(), "records");
  RecordCursor cursor(store);
  bool more = true;
  std::vector<LeftOutRecord> left_out;
  std::uint64_t number = 0;
  while (more) {
    std::vector<Record> records;
    std::vector<EncodedRecord> encoded;
    Record record;
    const std::uint64_t first = number;
    while (number < first + kTogether && (more = cursor.next(record))) {
      ++number;
      try {
        encoded.push_back(std::visit([&](const auto& one) { return encode_record(scorer.extractor(), one); }, record));
      } catch (const Error& error) {
        if (!skip_bad || error.code() != ErrorCode::BadInput) throw;
        left_out.push_back({number - 1, error.what()});
        continue;
      }
      records.push_back(std::move(record));
    }
    std::vector<const EncodedResponse*> responses;
    for (const EncodedRecord& one : encoded) {
      for (const EncodedResponse& response : one.responses) responses.push_back(&response);
    }
    const std::vector<double> scores = scorer.scores(head, responses);
    for (std::size_t i = 0, at = 0; i < records.size(); at += encoded[i++].responses.size()) {
      add_lines(head, records[i], std::span(scores).subspan(at, encoded[i].responses.size()), result);
    }
    progress.advance(number - first);
  }
  warn_of_left_out(left_out, store);
  if (result.lines.empty()) throw Error(ErrorCode::BadInput, "there is no record that can be scored");
  const std::vector<std::size_t> places = ranks(result.prompts, result.scores);
  for (std::size_t i = 0; i < places.size(); ++i) result.lines[i]["rank"] = places[i];
  return std::move(result.lines);
}

}  // namespace coala
