#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/record.h"
#include "data/row.h"

namespace coala {

/// The name of the column that holds what is asked as one text ("question", "instruction", ...); nullptr when there is
/// none with something in it. Not `input`, which goes with another one.
const char* prompt_text_column(const Row& row);
/// The same for a prompt that is a list of messages ("prompt", "messages", "context", ...). A list that ends with an
/// answer is none, unless it is called "prompt".
const char* prompt_list_column(const Row& row);
/// The column with a conversation, whoever has the last word ("messages", "conversations", ...).
const char* conversation_column(const Row& row);
/// Whether what is asked stands in a column of its own.
bool has_prompt(const Row& row);

/// Whether what is asked is missing, or a part of it, and its column is there, but null.
bool has_null_prompt(const Row& row);

/// What is asked, in whatever columns a row has it: a text or a list of messages under one of their usual names, the
/// text of `input` behind it, earlier turns of `history` and the message of `system` before it. Empty when there is
/// nothing of the kind.
Prompt read_prompt(const Row& row);
/// The same, or the text of `prefix` where there is nothing of the kind.
Prompt read_prompt_or_prefix(const Row& row);
/// Puts the row's system message in front, unless there is one.
void add_system(const Row& row, std::vector<Message>& messages);

/// A prompt that is written as one text: a dialogue of "\n\nHuman: " turns that ends with "\n\nAssistant:", one of
/// HelpSteer2's "<extra_id_1>" turns, or one message of the user.
std::vector<Message> messages_of_text(const std::string& text);

}  // namespace coala
