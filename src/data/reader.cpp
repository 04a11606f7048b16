#include "data/reader.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/utf8.h"
#include "data/conversation.h"
#include "data/element_reader.h"
#include "data/helpsteer.h"
#include "data/labelled_shapes.h"
#include "data/pair_shapes.h"
#include "data/row.h"

namespace coala {
namespace {

const char* kind_name(RecordKind kind) {
  return kind == RecordKind::Pair ? "preference pairs" : "labelled responses";
}

/// The pairs of one conversation that have not been handed out.
struct OpenConversation {
  AlternatingPairs pairs;
  std::string id;
  std::size_t next = 0;
};

}  // namespace

struct RecordReader::State {
  State(std::filesystem::path file, const ReaderOptions& reader_options)
      : path(std::move(file)), options(reader_options), elements(path, options.max_record_bytes) {}

  std::filesystem::path path;
  ReaderOptions options;
  ElementReader elements;
  ReaderCounts counts;
  std::optional<RecordKind> kind;
  Shape first_shape = Shape::Auto;
  std::optional<Record> first;  ///< read by the constructor, handed out by the first next()

  // What is being worked on: one row, and what several records come out of.
  std::optional<Row> row;
  Shape shape = Shape::Auto;  ///< of `row`
  bool row_waits = false;     ///< the row was read to see that it does not belong to the group before it
  std::optional<OpenConversation> conversation;
  std::optional<HelpSteerGroup> group;

  bool load();
  bool expand(Record& record);
  bool take_row(Record& record);
  void gather_group();
  void check_kind(RecordKind found);
  bool accept(const Record& record, Shape from);
  bool advance(Record& record);
};

/// Reads the next row; false at the end of the file.
bool RecordReader::State::load() {
  throw_if_interrupted();
  if (std::exchange(row_waits, false)) return true;
  Element element;
  const bool found = elements.next(element);
  counts.lines = elements.lines();
  counts.blank_lines = elements.blank_lines();
  if (!found) {
    row.reset();
    return false;
  }
  ++counts.records;
  row.emplace(path, element, elements.layout() != Layout::Array);
  shape = options.shape == Shape::Auto ? detect_shape(*row) : options.shape;
  return true;
}

/// Refuses a row of the other kind than those before it.
void RecordReader::State::check_kind(RecordKind found) {
  if (kind && found != *kind) {
    row->fail(fmt::format("this record is one of {}, those before it are {}", kind_name(found), kind_name(*kind)),
              "put the two kinds into files of their own");
  }
  kind = found;
}

/// Whether the record is to be handed out; the reasons against it are counted.
bool RecordReader::State::accept(const Record& record, Shape from) {
  if (const Pair* pair = std::get_if<Pair>(&record)) {
    if (is_blank(pair->chosen) || is_blank(pair->rejected)) {
      ++counts.empty;
      return false;
    }
    if (pair->chosen == pair->rejected) {
      ++counts.identical;
      return false;
    }
  } else if (is_blank(std::get<Labelled>(record).response)) {
    ++counts.empty;
    return false;
  }
  if (first_shape == Shape::Auto) first_shape = from;
  ++counts.by_shape[from];
  return true;
}

/// The next record of what is open already.
bool RecordReader::State::expand(Record& record) {
  while (conversation && conversation->next < conversation->pairs.size()) {
    throw_if_interrupted();
    Pair pair = conversation->pairs.pair(conversation->next++);
    pair.id = fmt::format("{}.{}", conversation->id, conversation->next);
    ++counts.triplets;
    record = std::move(pair);
    if (accept(record, shape)) return true;
  }
  conversation.reset();
  Pair pair;
  while (group && group->next(pair, counts)) {
    record = std::move(pair);
    if (accept(record, Shape::HelpSteer)) return true;
    pair = Pair();
  }
  group.reset();
  return false;
}

/// Opens the group that the current row starts, with all the rows that belong to it.
void RecordReader::State::gather_group() {
  group.emplace(*row);
  while (load()) {
    if (shape != Shape::HelpSteer || !group->add(*row)) {
      row_waits = true;
      return;
    }
  }
}

/// Makes what the current row holds; false when that is no record or several (see expand()).
bool RecordReader::State::take_row(Record& record) {
  const bool labelled = shape == Shape::Imdb || shape == Shape::TrlUnpaired ||
                        (shape == Shape::Coala && !row->has("chosen") && row->has("response"));
  check_kind(labelled ? RecordKind::Labelled : RecordKind::Pair);
  if (labelled) {
    record = read_labelled(*row, shape);
    return accept(record, shape);
  }
  switch (shape) {
    case Shape::HelpSteer:
      gather_group();
      return false;
    case Shape::EduFeedback:
    case Shape::ShareGpt:
    case Shape::OpenAiMessages:
      conversation.emplace(OpenConversation{{read_conversation(*row, shape), options.alternation}, row->id()});
      ++counts.conversations;
      if (conversation->pairs.size() == 0) ++counts.short_conversations;
      return false;
    case Shape::Coala:
    case Shape::TrlExplicit:
    case Shape::TrlImplicit:
    case Shape::H4:
    case Shape::HhRlhf:
    case Shape::Dsp:
    case Shape::HelpSteer3:
      break;
    case Shape::Auto:
    case Shape::Imdb:
    case Shape::TrlUnpaired:
      throw Error(ErrorCode::Internal, "a record whose shape nobody reads");
  }
  std::optional<Pair> pair = read_pair(*row, shape, counts);
  if (!pair) return false;
  record = std::move(*pair);
  return accept(record, shape);
}

bool RecordReader::State::advance(Record& record) {
  for (;;) {
    if (expand(record)) return true;
    if (!load()) return false;
    if (take_row(record)) return true;
  }
}

RecordReader::RecordReader(std::filesystem::path path, ReaderOptions options)
    : state_(std::make_unique<State>(std::move(path), options)) {
  Record record;
  if (state_->advance(record)) {
    state_->first = std::move(record);
    return;
  }
  const ReaderCounts& seen = state_->counts;
  const std::string file = state_->path.string();
  if (seen.records == 0) {
    throw Error(ErrorCode::BadInput, fmt::format("{}: there is no record in it", file),
                "expected JSON lines or a JSON array of preferences; see docs/data-shapes.md");
  }
  throw Error(ErrorCode::BadInput,
              fmt::format("{}: none of its {} records can be used: {} ties, {} contradictions, {} with an empty "
                          "response, {} with identical responses, {} without a shared prompt, {} conversations too "
                          "short for a pair",
                          file, seen.records, seen.ties, seen.contradictions, seen.empty, seen.identical,
                          seen.no_shared_prompt, seen.short_conversations),
              "see docs/data-shapes.md for what is left out and why");
}

RecordReader::~RecordReader() = default;

bool RecordReader::next(Record& record) {
  if (state_->first) {
    record = std::move(*state_->first);
    state_->first.reset();
    return true;
  }
  return state_->advance(record);
}

bool RecordReader::next(Pair& pair) {
  if (kind() != RecordKind::Pair) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} holds labelled responses; expected preference pairs", state_->path.string()),
                "see docs/data-shapes.md for the shapes of pairs");
  }
  Record record;
  if (!next(record)) return false;
  pair = std::move(std::get<Pair>(record));
  return true;
}

bool RecordReader::next(Labelled& labelled) {
  if (kind() != RecordKind::Labelled) {
    throw Error(ErrorCode::BadInput,
                fmt::format("{} holds preference pairs; expected labelled responses", state_->path.string()),
                "see docs/data-shapes.md for the shapes of labelled responses");
  }
  Record record;
  if (!next(record)) return false;
  labelled = std::move(std::get<Labelled>(record));
  return true;
}

RecordKind RecordReader::kind() const {
  return *state_->kind;
}

Shape RecordReader::shape() const {
  return state_->first_shape;
}

const ReaderCounts& RecordReader::counts() const {
  return state_->counts;
}

}  // namespace coala
