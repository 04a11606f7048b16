#include "align/examples.h"

#include <map>

namespace coala {
namespace {

std::string text_of(const Prompt& prompt) {
  std::string text = prompt.text;
  for (const Message& message : prompt.messages) {
    if (!text.empty()) text += "\n";
    text += message.role + ": " + message.content;
  }
  return text;
}

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

void add_texts(Examples& examples, const RecordStore& data, std::span<const LeftOutRecord> left_out) {
  std::map<std::size_t, Example*> wanted;  // by the number of the record among those with features
  for (Example& example : examples.right) wanted[example.record] = &example;
  for (Example& example : examples.wrong) wanted[example.record] = &example;
  auto bad = left_out.begin();  // in the order of the file
  for (const auto& [number, example] : wanted) {
    while (bad != left_out.end() && bad->number <= number + static_cast<std::size_t>(bad - left_out.begin())) ++bad;
    const std::size_t place = number + static_cast<std::size_t>(bad - left_out.begin());
    if (place < data.size()) fill(*example, data.record(place));
  }
  examples.with_texts = true;
}

}  // namespace coala
