#pragma once

#include <optional>
#include <string>
#include <vector>

#include "coala/api.h"

namespace coala {

/// One turn of a conversation. Roles are those of the OpenAI shape: "system", "user", "assistant".
struct Message {
  std::string role;
  std::string content;

  bool operator==(const Message&) const = default;
};

/// What a response answers: the turns of a conversation (rendered by the model's chat template), or text that the
/// response continues word for word (used as it is). One of the two is empty; both are for a text without a prompt.
struct Prompt {
  std::vector<Message> messages;
  std::string text;

  bool operator==(const Prompt&) const = default;
  /// The canonical text that decides the split: the same prompt gives the same key in whatever shape it came.
  COALA_API std::string key() const;
};

/// What is said of a record beside its texts.
struct RecordNotes {
  std::string id;      ///< the file's own id, or "<line>" / "<line>.<k>" counted from 1
  std::string subset;  ///< the part of a benchmark that it belongs to; empty: none is named
  /// What is asked, where it stands in a column that is left aside: records of the same belong together. Else empty.
  std::string question;
};

/// A preference: `chosen` is better than `rejected` as an answer to `prompt`.
struct Pair : RecordNotes {
  Prompt prompt;
  std::string chosen;
  std::string rejected;
  std::optional<double> margin;  ///< by how much; units of the source
  std::optional<double> weight;  ///< how much the pair counts; 1 when absent
};

/// A response that is good (+1) or bad (-1) by itself, or that nobody has judged (0).
struct Labelled : RecordNotes {
  Prompt prompt;
  std::string response;
  int label = 0;
};

}  // namespace coala
