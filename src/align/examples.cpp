#include "align/examples.h"

#include <map>

#include "data/reader.h"

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

void add_texts(Examples& examples, const DataFile& data, std::span<const LeftOutRecord> left_out) {
  std::map<std::size_t, Example*> wanted;
  for (Example& example : examples.right) wanted[example.record] = &example;
  for (Example& example : examples.wrong) wanted[example.record] = &example;
  RecordReader reader(data.path, data.reader);
  Record record;
  std::size_t number = 0;  // of the record among those with features
  std::uint64_t read = 0;
  auto bad = left_out.begin();  // in the order of the file
  for (auto next = wanted.begin(); next != wanted.end() && reader.next(record);) {
    if (bad != left_out.end() && bad->number == read++) {
      ++bad;
      continue;
    }
    if (number++ != next->first) continue;
    fill(*next->second, record);
    ++next;
  }
  examples.with_texts = true;
}

}  // namespace coala
