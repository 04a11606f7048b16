#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/record.h"

namespace coala {

/// Two replies to a prompt: the first is of the source that is asked about, the second of the one it is compared with.
struct ReplyPair {
  std::string id;      ///< of the first source's line
  std::string prompt;  ///< as a judge reads it: the turns of a conversation one after the other
  std::array<std::string, 2> replies;
  std::string pair;       ///< hash of prompt and replies
  std::size_t index = 0;  ///< among the replies to the prompt
  Prompt asked;           ///< the prompt as programs and heads read it, of the first source's line
  int turns = 1;          ///< messages of the user in it
};

/// Pairs replies by their prompts, those to the same prompt in their order. Files as `coala generate` and `coala
/// sample` write them, or AlpacaEval's outputs: a prompt (prompt, instruction or prefix; a text or messages) and a
/// reply (text, response, output or reply).
/// @throws Error{BadInput} naming the line; Error{Mismatch} when a prompt has more replies in one file than in the
/// other
std::vector<ReplyPair> read_reply_pairs(const std::filesystem::path& replies, const std::filesystem::path& against);

/// What a judge is asked.
enum class JudgeTask {
  Pairs,  ///< which of two replies is better
  Marks,  ///< a mark from 1 to 10 for one reply
};

/// One question to one judge about one pair.
struct JudgeQuestion {
  std::size_t pair = 0;   ///< index
  std::size_t place = 0;  ///< Pairs: where the first source's reply stands, 0 in front; Marks: which source's reply
  nlohmann::ordered_json messages;
};

/// Both orders of every pair, or both of its replies.
std::vector<JudgeQuestion> questions_about(const std::vector<ReplyPair>& pairs, JudgeTask task);

/// The verdict that an answer ends with: "first", "second" or "tie". Nothing when there is none.
std::optional<std::string> verdict_in(std::string_view answer);
/// What a judge might have said instead, each between 0 and 1; together not above 1 but for rounding.
struct VerdictProbabilities {
  double first = 0, second = 0, tie = 0;
};
/// The probabilities of the verdicts at the token with which the last one begins: of the tokens there that begin a
/// verdict in the same way. Nothing where the tokens do not end with one.
/// @param tokens  an answer's "logprobs"."content", as OpenAI's API has it: objects with token, logprob, top_logprobs
std::optional<VerdictProbabilities> verdict_probabilities(const nlohmann::ordered_json& tokens);

/// The mark that an answer ends with, 1 to 10. Nothing when there is none.
std::optional<double> mark_in(std::string_view answer);

}  // namespace coala
