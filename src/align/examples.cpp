#include "align/examples.h"

#include <vector>

#include "extract/encoded_record.h"

namespace coala {
namespace {

void fill(Example& example, const Record& record) {
  if (const Pair* pair = std::get_if<Pair>(&record)) {
    example.id = pair->id;
    example.prompt = text_of(pair->prompt);
    example.chosen = pair->chosen;
    example.rejected = pair->rejected;
  } else {
    const Labelled& labelled = std::get<Labelled>(record);
    example.id = labelled.id;
    example.prompt = text_of(labelled.prompt);
    example.chosen = labelled.response;
    example.label = labelled.label;
  }
}

}  // namespace

std::string text_of(const Prompt& prompt) {
  std::string text = prompt.text;
  for (const Message& message : prompt.messages) {
    if (!text.empty()) text += "\n";
    text += message.role + ": " + message.content;
  }
  return text;
}

void add_texts(Examples& examples, const RecordStore& data, std::span<const LeftOutRecord> left_out) {
  const std::vector<std::size_t> numbers = records_with_features(data.size(), left_out);
  for (std::vector<Example>* some : {&examples.right, &examples.wrong}) {
    for (Example& example : *some) {
      if (example.record < numbers.size()) fill(example, data.record(numbers[example.record]));
    }
  }
  examples.with_texts = true;
}

}  // namespace coala
