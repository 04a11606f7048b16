#include "coala/dataset.h"

#include <fmt/format.h>

#include "api_lm/state.h"
#include "coala/error.h"
#include "data/data_files.h"

namespace coala::v1 {
namespace {

constexpr const char* kName = "the records";

void check_response(const std::string& response, std::size_t number) {
  if (!response.empty()) return;
  throw Error(ErrorCode::BadInput, fmt::format("{}: a response of record {} (counted from 1) is empty", kName, number));
}

/// The same with a number for an id where there is none.
template <class OneRecord>
std::vector<OneRecord> numbered(std::span<const OneRecord> records) {
  if (records.empty()) throw Error(ErrorCode::BadInput, fmt::format("{} are none; expected 1 or more", kName));
  std::vector<OneRecord> result(records.begin(), records.end());
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i].id.empty()) result[i].id = std::to_string(i + 1);
  }
  return result;
}

}  // namespace

Dataset Dataset::read(const std::vector<std::string>& names, const ReadSettings& settings, const Context& context) {
  const CallScope scope(context);
  DataFiles files{find_data_files(names), {}};
  files.reader.skip_bad = settings.skip_bad;
  files.reader.unjudged = settings.unjudged;
  std::error_code ignored;
  return Dataset(
      std::make_shared<const State>(State{RecordStore(files, std::filesystem::temp_directory_path(ignored))}));
}

Dataset Dataset::of(std::span<const Pair> pairs) {
  const std::vector<Pair> records = numbered(pairs);
  for (std::size_t i = 0; i < records.size(); ++i) {
    check_response(records[i].chosen, i + 1);
    check_response(records[i].rejected, i + 1);
  }
  return Dataset(std::make_shared<const State>(State{RecordStore(std::span<const Pair>(records), kName)}));
}

Dataset Dataset::of(std::span<const Labelled> responses) {
  const std::vector<Labelled> records = numbered(responses);
  for (std::size_t i = 0; i < records.size(); ++i) check_response(records[i].response, i + 1);
  return Dataset(std::make_shared<const State>(State{RecordStore(std::span<const Labelled>(records), kName)}));
}

std::size_t Dataset::size() const {
  return state_->store.size();
}

bool Dataset::pairs() const {
  return state_->store.kind() == RecordKind::Pair;
}

namespace {

template <class OneRecord>
OneRecord record_of(const RecordStore& store, std::size_t number) {
  if (number >= store.size()) {
    throw Error(ErrorCode::BadUsage, fmt::format("record {} is asked for; there are {}", number, store.size()));
  }
  Record record = store.record(number);
  if (OneRecord* const held = std::get_if<OneRecord>(&record)) return std::move(*held);
  throw Error(ErrorCode::BadUsage, "a record of another kind is asked for than there are");
}

}  // namespace

Pair Dataset::pair(std::size_t number) const {
  return record_of<Pair>(state_->store, number);
}

Labelled Dataset::labelled(std::size_t number) const {
  return record_of<Labelled>(state_->store, number);
}

}  // namespace coala::v1
