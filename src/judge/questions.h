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

namespace coala {

/// Two replies to a prompt: the first is of the source that is asked about, the second of the one it is compared with.
struct ReplyPair {
  std::string id;      ///< of the first source's line
  std::string prompt;  ///< as a judge reads it: the turns of a conversation one after the other
  std::array<std::string, 2> replies;
  std::string pair;  ///< hash of prompt and replies
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
/// The mark that an answer ends with, 1 to 10. Nothing when there is none.
std::optional<double> mark_in(std::string_view answer);

}  // namespace coala
