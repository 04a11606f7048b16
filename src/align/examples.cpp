#include "align/examples.h"

#include <fmt/format.h>

#include <vector>

#include "core/error.h"
#include "extract/encoded_record.h"
#include "features/feature_subset.h"

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

/// Do a row and a record have the same prompt, and responses of the same lengths?
bool made_of(const FeatureSet& set, std::size_t row, const Record& record) {
  if (set.prompt_id[row] != prompt_id(record)) return false;
  const auto same = [row](const std::vector<std::int32_t>& lengths, const std::string& text) {
    return lengths.empty() || lengths[row] == code_points(text);
  };
  if (const Pair* pair = std::get_if<Pair>(&record)) {
    return same(set.length_chosen, pair->chosen) && same(set.length_rejected, pair->rejected);
  }
  return same(set.length, std::get<Labelled>(record).response);
}

}  // namespace

std::vector<std::size_t> records_of_rows(const FeatureSet& set, const RecordStore& data) {
  std::vector<std::size_t> records;
  RecordCursor cursor(data);
  Record record;
  std::size_t number = 0;
  for (std::size_t row = 0; row < set.rows(); ++row) {
    if (!is_whole(set, row)) continue;
    bool found = false;
    while (!found && cursor.next(record)) {
      found = made_of(set, row, record);
      ++number;
    }
    if (!found) {
      throw Error(ErrorCode::Mismatch,
                  fmt::format("row {} of {} was made of no record of {}, in the order of its records", row, set.path,
                              data.name()),
                  "name the data that the features were made of, with the same options");
    }
    records.push_back(number - 1);
  }
  return records;
}

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
