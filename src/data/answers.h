#pragma once

#include <string>
#include <vector>

#include "data/record.h"
#include "data/row.h"

namespace coala {

/// A response as a file has it: a text, or messages that end with it and may repeat the prompt before it.
struct Answer {
  std::string text;  ///< when there are no messages
  std::vector<Message> messages;
};

/// The responses in a column: one (a text, a list of messages, one message, an object with a text) or several (a list
/// of such). None when the column is null or not there.
/// @throws Error{BadInput} naming the column when it is something else
std::vector<Answer> read_answers(const Row& row, const char* column);
/// The same of a value that stands deeper. @param where  for messages
std::vector<Answer> answers_of(const Row& row, const nlohmann::json& value, const std::string& where);

/// Number of turns that both dialogues start with, the last turn of each left out: that one is the response.
std::size_t count_shared_turns(const std::vector<Message>& a, const std::vector<Message>& b);

/// The content of the one assistant message that follows the first `shared` ones.
/// @throws Error{BadInput} when there is another number of them
std::string final_response(const Row& row, const std::string& where, const std::vector<Message>& messages,
                           std::size_t shared);

/// The response alone: what follows the prompt, where the messages repeat it (with or without its system message).
std::string response_to(const Row& row, const std::string& where, const Answer& answer,
                        const std::vector<Message>& prompt);

}  // namespace coala
