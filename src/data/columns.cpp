#include "data/columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/utf8.h"

namespace coala {
namespace {

/// What --columns may name: the columns of coala's own shapes.
constexpr std::array kReadable = std::to_array<std::string_view>(
    {"id", "prompt", "input", "system", "history", "messages", "prefix", "chosen", "rejected", "score_chosen",
     "score_rejected", "margin", "weight", "response", "completion", "label", "answers", "rating"});

/// Whole names, beside those with one of the words below.
constexpr std::array kDeciding = std::to_array<std::string_view>(
    {"task", "post", "passage", "document", "user", "text", "body", "request", "turns", "utterances", "prefix", "sys"});

/// Whole words of a name, parted by "_", "-", "." or a capital letter.
std::vector<std::string> words_of(std::string_view column) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < column.size(); ++i) {
    const char c = column[i];
    if (!is_letter_or_digit(c) && static_cast<unsigned char>(c) < 0x80) {
      if (!words.back().empty()) words.emplace_back();
      continue;
    }
    const bool capital = is_upper_case(c) && i > 0 && column[i - 1] >= 'a' && column[i - 1] <= 'z';
    if (capital && !words.back().empty()) words.emplace_back();
    words.back() += lower_case(c);
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

template <std::size_t kCount>
bool holds(const std::array<std::string_view, kCount>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// A name with one of these words says where a record comes from, or what others noted about it.
constexpr std::array kNeutralWords = std::to_array<std::string_view>(
    {"id",         "ids",         "idx",        "index",       "uuid",      "guid",      "hash",       "md5",
     "sha256",     "key",         "qid",        "source",      "sources",   "origin",    "dataset",    "datasets",
     "subset",     "subsets",     "split",      "datasplit",   "config",    "domain",    "domains",    "category",
     "categories", "topic",       "topics",     "tag",         "tags",      "lang",      "language",   "languages",
     "locale",     "date",        "datetime",   "time",        "timestamp", "tstamp",    "created",    "updated",
     "model",      "models",      "generator",  "engine",      "author",    "authors",   "annotator",  "annotators",
     "annotation", "annotations", "worker",     "rater",       "judge",     "url",       "urls",       "link",
     "links",      "license",     "version",    "meta",        "metadata",  "info",      "notes",      "comment",
     "comments",   "count",       "counts",     "num",         "number",    "length",    "lengths",    "len",
     "size",       "tokens",      "token",      "temperature", "seed",      "rationale", "rationales", "explanation",
     "critique",   "elaboration", "statement",  "labelling",   "labeling",  "principle", "principles", "difficulty",
     "type",       "kind",        "status",     "order",       "level",     "style",     "complexity", "verbosity",
     "batch",      "price",       "difference", "ratio",       "moderation"});

/// The same, but for what is asked: "original_prompt" may be the only one.
constexpr std::array kCopyWords = std::to_array<std::string_view>({"raw", "unprocessed", "original"});

/// A name with one of these words is part of what is asked.
constexpr std::array kAskingWords = std::to_array<std::string_view>(
    {"prompt",  "prompts",      "question",      "questions", "instruction", "instructions", "query",   "queries",
     "problem", "input",        "inputs",        "context",   "contexts",    "system",       "history", "messages",
     "message", "conversation", "conversations", "dialogue",  "dialog",      "chat"});

/// A name with one of these words is an answer, or what a text cannot hold.
constexpr std::array kAnswerWords = std::to_array<std::string_view>(
    {"chosen",    "rejected",   "response",  "responses", "completion", "completions", "answer",
     "answers",   "output",     "outputs",   "reply",     "replies",    "generation",  "generations",
     "candidate", "candidates", "assistant", "image",     "images",     "picture",     "pictures",
     "audio",     "audios",     "video",     "videos",    "tool",       "tools",       "function",
     "functions", "reasoning",  "thinking",  "thought",   "thoughts",   "refusal"});

/// A name with one of these words tells better from worse.
constexpr std::array kJudgingWords =
    std::to_array<std::string_view>({"label",  "labels", "kto",     "preference", "preferred", "winner",  "choice",
                                     "rank",   "ranks",  "rating",  "ratings",    "reward",    "rewards", "score",
                                     "scores", "votes",  "upvotes", "better",     "best",      "margin",  "safe"});

template <std::size_t kCount>
bool any(const std::vector<std::string>& words, const std::array<std::string_view, kCount>& list) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) { return holds(list, word); });
}

std::vector<std::string> parted(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_renamed_columns(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> renamed;
  for (const std::string& part : parted(text)) {
    const std::size_t equals = part.find('=');
    const std::string ours(trimmed(std::string_view(part).substr(0, equals)));
    const std::string theirs(equals == std::string::npos ? "" : trimmed(std::string_view(part).substr(equals + 1)));
    if (ours.empty() || theirs.empty()) {
      throw Error(ErrorCode::BadUsage, fmt::format("--columns has {}; expected NAME=COLUMN", quoted_text(part)),
                  "for example --columns prompt=question,chosen=answers.0.text");
    }
    if (!holds(kReadable, ours)) {
      throw Error(ErrorCode::BadUsage,
                  fmt::format("--columns: coala reads no column {}; expected one of {}", quoted_text(ours),
                              fmt::join(kReadable, ", ")),
                  "the name that coala reads comes first: --columns prompt=question");
    }
    const auto twice = [&](const auto& other) { return other.first == ours; };
    if (std::any_of(renamed.begin(), renamed.end(), twice)) {
      throw Error(ErrorCode::BadUsage, fmt::format("--columns names {} twice", ours), "name it once");
    }
    renamed.emplace_back(ours, theirs);
  }
  return renamed;
}

std::set<std::string> parse_ignored_columns(std::string_view text) {
  std::set<std::string> ignored;
  for (std::string& part : parted(text)) {
    if (part.empty()) {
      throw Error(ErrorCode::BadUsage, "--ignore-columns has an empty name",
                  "for example --ignore-columns notes,topic");
    }
    ignored.insert(std::move(part));
  }
  return ignored;
}

ColumnMeaning meaning_of(std::string_view column) {
  const std::vector<std::string> words = words_of(column);
  if (words.size() == 1 && holds(kDeciding, words.front())) return ColumnMeaning::Decides;
  if (!words.empty() && words.front() == "kto") return ColumnMeaning::Judges;
  const bool asks = any(words, kAskingWords);
  if (any(words, kNeutralWords)) return ColumnMeaning::Neutral;  // prompt_id, chosen_model, rejected_tokens
  if (any(words, kCopyWords) && !asks) return ColumnMeaning::Neutral;
  if (any(words, kJudgingWords)) return ColumnMeaning::Judges;
  return asks || any(words, kAnswerWords) ? ColumnMeaning::Decides : ColumnMeaning::Unknown;
}

bool names_a_prompt(std::string_view column) {
  return any(words_of(column), kAskingWords);
}

}  // namespace coala
