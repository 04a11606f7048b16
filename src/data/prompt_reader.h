#pragma once

#include <string>
#include <vector>

#include "data/reader.h"
#include "data/record.h"

namespace coala {

/// A prompt that waits for its answer.
struct PromptRecord {
  std::string id;  ///< as Pair::id
  Prompt prompt;
};

/// The prompts of data files: of those that hold nothing else ("prompt", a text or messages; "messages" that end with
/// one of the user; or "prefix", a text to be continued word for word), or of preferences, labelled and other responses
/// in any shape that RecordReader reads, whose responses are left aside. The first record tells which of the two it is,
/// unless data.reader.shape names one. A file that ends in .txt has a prompt in each line, what the user says.
/// The files are read once: they may be pipes.
/// @throws Error{BadInput} as RecordReader, also for a file without a record
std::vector<PromptRecord> read_prompts(const DataFiles& data);

}  // namespace coala
