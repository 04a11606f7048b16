#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "data/record.h"

namespace coala {

/// What several sources replied to one prompt.
struct ReplyRow {
  std::string id;                    ///< of the first source's line
  std::string prompt;                ///< as it is read: the turns of a conversation one after the other
  std::vector<std::string> replies;  ///< in the order of the sources
  std::size_t number = 0;            ///< from 0, among the rows of the same prompt
  Prompt asked = {};                 ///< the prompt as programs and heads read it, of the first source's line
};

/// Puts replies to the same prompt beside each other, several replies to one prompt in their order. Files as `coala
/// generate` and `coala sample` write them, or AlpacaEval's outputs: a prompt (prompt, instruction or prefix; a text or
/// messages) and a reply (text, response, output or reply).
/// @param files  one for each source, two at least
/// @throws Error{BadInput} naming the line; Error{Mismatch} when a prompt has more replies in one file than in another
std::vector<ReplyRow> read_reply_rows(const std::vector<std::filesystem::path>& files);

}  // namespace coala
