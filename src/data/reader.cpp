#include "data/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/utf8.h"
#include "data/comparison.h"
#include "data/conversation.h"
#include "data/data_files.h"
#include "data/helpsteer.h"
#include "data/labelled_shapes.h"
#include "data/oasst.h"
#include "data/pair_shapes.h"
#include "data/prompt_columns.h"
#include "data/ranking.h"
#include "data/reading_report.h"
#include "data/row.h"
#include "data/row_source.h"
#include "data/unjudged.h"

namespace coala {
namespace {

const char* kind_name(RecordKind kind) {
  return kind == RecordKind::Pair ? "preference pairs" : "labelled responses";
}

/// The pairs of one conversation that have not been handed out.
struct OpenConversation {
  AlternatingPairs pairs;
  std::string id;
  Shape shape;
  std::size_t next = 0;
};

}  // namespace

struct RecordReader::State {
  explicit State(DataFiles data)
      : options(std::move(data.reader)),
        rows(std::make_unique<RowSource>(std::move(data.paths), options.columns, options.max_record_bytes)) {
    begin();
  }
  State(ReaderOptions how, std::unique_ptr<RowSource> begun) : options(std::move(how)), rows(std::move(begun)) {
    begin();
  }

  void begin() {
    for (const std::filesystem::path& file : rows->files()) counts.files.push_back(file.string());
    if (!options.skip_bad) return;
    rows->on_bad([this](const Error& error) {
      ++counts.records;
      note_bad(error);
    });
  }

  ReaderOptions options;
  std::unique_ptr<RowSource> rows;
  ReaderCounts counts;
  std::optional<RecordKind> kind;
  Shape first_shape = Shape::Auto;
  std::optional<Record> first;  ///< read by the constructor, handed out by the first next()

  // What is being worked on: one row, and what several records come out of.
  std::optional<Row> row;
  Shape shape = Shape::Auto;    ///< of `row`
  bool row_waits = false;       ///< the row was read to see that it does not belong to the group before it
  std::uint64_t open_rows = 0;  ///< rows that the pairs handed out now come from
  bool open_rows_used = false;
  std::optional<OpenConversation> conversation;
  std::optional<HelpSteerGroup> group;
  std::deque<Pair> pairs;
  std::deque<Labelled> labelled;
  Shape pairs_shape = Shape::Auto;  ///< of what is in `pairs` or `labelled`

  bool read_row();
  Shape shape_of_row() const;
  bool load();
  bool expand(Record& record);
  void take_row();
  void take_labelled();
  void take_pairs();
  void note(RecordNotes& notes) const;
  template <class Add>
  void gather(Shape wanted, const Add& add);
  void gather_helpsteer();
  void gather_oasst();
  void check_kind(RecordKind found);
  void check_unread(std::span<const std::string_view> said, bool has_prompt, bool judged = true);
  bool accept(const Record& record, Shape from);
  void close_rows();
  bool advance(Record& record);
  void note_bad(const Error& error);
  template <class Work>
  bool guarded(const Work& work);
};

void RecordReader::State::note_bad(const Error& error) {
  constexpr std::size_t kMostExamples = 5;
  ++counts.bad;
  if (counts.bad_examples.size() < kMostExamples) counts.bad_examples.emplace_back(error.what());
}

/// Runs what may find a bad record; false when it did and such records are left out.
template <class Work>
bool RecordReader::State::guarded(const Work& work) {
  if (!options.skip_bad) {
    work();
    return true;
  }
  const LeftOutCounts before = counts;
  try {
    work();
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::BadInput) throw;
    static_cast<LeftOutCounts&>(counts) = before;  // a record has one reason
    note_bad(error);
    return false;
  }
}

/// Reads the next row; false at the end of the last file.
bool RecordReader::State::read_row() {
  row = rows->next();
  counts.lines = rows->lines();
  counts.blank_lines = rows->blank_lines();
  if (row) ++counts.records;
  return row.has_value();
}

/// A judgement is looked for first, where there need not be one.
Shape RecordReader::State::shape_of_row() const {
  if (!options.unjudged) return detect_shape(*row);
  if (is_reply(*row) && label_column(*row) == nullptr) return Shape::Unjudged;
  const bool judged = has_two_answers(*row) || is_comparison(*row) || is_ranking(*row) || label_column(*row) != nullptr;
  return !judged && holds_unjudged(*row) ? Shape::Unjudged : detect_shape(*row);
}

/// Reads the next row and tells its shape; false at the end of the last file.
bool RecordReader::State::load() {
  if (std::exchange(row_waits, false)) return true;
  while (read_row()) {
    if (options.shape != Shape::Auto) {
      shape = options.shape;
      return true;
    }
    if (guarded([&] { shape = shape_of_row(); })) return true;
  }
  return false;
}

/// Refuses a row of the other kind than those before it.
void RecordReader::State::check_kind(RecordKind found) {
  if (kind && found != *kind) {
    row->fail(fmt::format("this record is one of {}, those before it are {}", kind_name(found), kind_name(*kind)),
              "put the two kinds into files of their own");
  }
  kind = found;
}

/// Refuses a row with a column that would be lost, and notes what was read and what was not.
void RecordReader::State::check_unread(std::span<const std::string_view> said, bool has_prompt, bool judged) {
  for (const std::string& column : row->check_unread(said, has_prompt, judged)) ++counts.columns_ignored[column];
  for (const std::string_view column : row->read_columns()) {
    const auto found = counts.columns_read.find(column);
    ++(found != counts.columns_read.end() ? found->second : counts.columns_read[std::string(column)]);
  }
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
  open_rows_used = true;
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
    if (accept(record, conversation->shape)) return true;
  }
  conversation.reset();
  Pair pair;
  while (group && group->next(pair, counts)) {
    record = std::move(pair);
    if (accept(record, Shape::HelpSteer)) return true;
    pair = Pair();
  }
  group.reset();
  while (!pairs.empty()) {
    record = std::move(pairs.front());
    pairs.pop_front();
    if (accept(record, pairs_shape)) return true;
  }
  while (!labelled.empty()) {
    record = std::move(labelled.front());
    labelled.pop_front();
    if (accept(record, pairs_shape)) return true;
  }
  close_rows();
  return false;
}

/// Everything of the open rows has been handed out or left out.
void RecordReader::State::close_rows() {
  if (open_rows_used) counts.records_used += open_rows;
  open_rows = 0;
  open_rows_used = false;
}

/// Whether there is more to a prompt than a system message.
bool asks(const Prompt& prompt) {
  const auto is_turn = [](const Message& message) { return message.role != "system"; };
  return !prompt.text.empty() || std::any_of(prompt.messages.begin(), prompt.messages.end(), is_turn);
}

/// A system message is no question: what is asked stands elsewhere then.
void require_question(const Row& row, const Prompt& prompt) {
  if (prompt.messages.empty() || asks(prompt)) return;
  row.fail_columns("there is a system message, but nothing that is asked", "\"prompt\", or --columns prompt=COLUMN");
}

/// The texts of a pair, to tell a column that repeats one of them.
std::vector<std::string_view> said_in(const Prompt& prompt) {
  std::vector<std::string_view> said{prompt.text};
  for (const Message& message : prompt.messages) said.emplace_back(message.content);
  return said;
}

void RecordReader::State::take_pairs() {
  const std::uint64_t null_before = counts.null;
  std::vector<Pair> found = read_pairs(*row, shape, options.rankings, counts);
  if (has_null_prompt(*row)) {
    const auto lost = [&](const Pair& pair) { return has_prompt(*row) || !asks(pair.prompt); };
    counts.null += static_cast<std::uint64_t>(std::erase_if(found, lost));
  }
  for (Pair& pair : found) note(pair);
  // What seems to be missing may stand in a column that is not read. Other reasons to leave a row out know all of it.
  if (!found.empty() || counts.null != null_before) {
    std::vector<std::string_view> said = row->read_texts();
    bool asked = found.empty();
    for (const Pair& pair : found) {
      require_question(*row, pair.prompt);
      for (const std::string_view text : said_in(pair.prompt)) said.push_back(text);
      said.emplace_back(pair.chosen);
      said.emplace_back(pair.rejected);
      asked = asked || asks(pair.prompt);
    }
    check_unread(said, asked);
  }
  std::move(found.begin(), found.end(), std::back_inserter(pairs));
  pairs_shape = shape;
}

/// Fills in what the current row says of a record beside its texts.
void RecordReader::State::note(RecordNotes& notes) const {
  if (row->has_text("subset")) notes.subset = row->text("subset");
  notes.question = shape == Shape::Coala && row->has_text("group") ? row->text("group") : row->ignored_question();
}

/// Hands on the rows that follow, as long as they are of the shape and `add` takes the current one.
template <class Add>
void RecordReader::State::gather(Shape wanted, const Add& add) {
  while (load()) {
    bool belongs = shape == wanted;
    const bool good = guarded([&] { belongs = belongs && add(); });
    if (good && !belongs) {
      row_waits = true;
      return;
    }
  }
}

/// Opens the group that the current row starts, with all the rows that belong to it.
void RecordReader::State::gather_helpsteer() {
  const auto check = [&] {
    const std::array<std::string_view, 2> said{row->text("prompt"), row->text("response")};
    check_unread(said, true);
  };
  const auto is_null = [&] {
    const auto null = [&](const char* column) { return row->has_key(column) && !row->has(column); };
    if (!null("response") && !null("helpfulness") && !null("correctness") && !null("coherence")) return false;
    ++counts.null;
    return true;
  };
  if (is_null()) return;
  group.emplace(*row);
  check();
  gather(Shape::HelpSteer, [&] {
    if (is_null()) return true;
    if (!group->add(*row)) return false;
    check();
    return true;
  });
  open_rows = group->size();
  if (group->size() == 1) ++counts.alone;
}

/// The same for the messages of a tree.
void RecordReader::State::gather_oasst() {
  OasstGroup tree(*row);
  const Row root = std::move(*row);
  gather(Shape::Oasst, [&] {
    if (!tree.add(*row)) return false;
    ++open_rows;
    return true;
  });
  std::vector<Pair> found = tree.pairs(root, options.rankings, counts);
  for (std::size_t k = 0; k < found.size(); ++k) found[k].id = fmt::format("{}.{}", root.id(), k + 1);
  std::move(found.begin(), found.end(), std::back_inserter(pairs));
  pairs_shape = Shape::Oasst;
}

void RecordReader::State::take_labelled() {
  std::vector<Labelled> found;
  if (shape == Shape::Unjudged) {
    found = read_unjudged(*row, counts);
  } else if (std::optional<Labelled> one = read_labelled(*row, shape, counts)) {
    found.push_back(std::move(*one));
  }
  if (found.empty()) return;
  std::vector<std::string_view> said = said_in(found.front().prompt);
  for (Labelled& one : found) {
    note(one);
    require_question(*row, one.prompt);
    said.emplace_back(one.response);
  }
  check_unread(said, asks(found.front().prompt) || shape == Shape::Imdb);
  std::move(found.begin(), found.end(), std::back_inserter(labelled));
  pairs_shape = shape;
}

/// Opens what the current row holds: pairs, a conversation, a group, or a labelled response.
void RecordReader::State::take_row() {
  const bool is_labelled = shape == Shape::Imdb || shape == Shape::TrlUnpaired || shape == Shape::Unjudged ||
                           (shape == Shape::Coala && !row->has_key("chosen") && row->has("response"));
  check_kind(is_labelled ? RecordKind::Labelled : RecordKind::Pair);
  open_rows = 1;
  if (is_labelled) {
    take_labelled();
    return;
  }
  switch (shape) {
    case Shape::HelpSteer:
      gather_helpsteer();
      return;
    case Shape::Oasst:
      gather_oasst();
      return;
    case Shape::EduFeedback:
    case Shape::ShareGpt:
    case Shape::OpenAiMessages: {
      Prompt turns{read_conversation(*row, shape), {}};
      check_unread(said_in(turns), true, /*judged=*/false);
      conversation.emplace(OpenConversation{{std::move(turns.messages), options.alternation}, row->id(), shape});
      ++counts.conversations;
      if (conversation->pairs.size() == 0) ++counts.short_conversations;
      return;
    }
    case Shape::Coala:
    case Shape::TrlExplicit:
    case Shape::TrlImplicit:
    case Shape::H4:
    case Shape::HhRlhf:
    case Shape::MessagesPair:
    case Shape::TwoAnswers:
    case Shape::Ranking:
    case Shape::OasstTree:
    case Shape::Dsp:
    case Shape::HelpSteer3:
      take_pairs();
      return;
    case Shape::Auto:
    case Shape::Imdb:
    case Shape::TrlUnpaired:
    case Shape::Unjudged:
      throw Error(ErrorCode::Internal, "a record whose shape nobody reads");
  }
}

bool RecordReader::State::advance(Record& record) {
  for (;;) {
    if (expand(record)) return true;
    if (!load()) return false;
    if (!guarded([&] { take_row(); })) {
      conversation.reset();
      group.reset();
      pairs.clear();
      labelled.clear();
    }
  }
}

RecordReader::RecordReader(DataFiles data) : state_(std::make_unique<State>(std::move(data))) {
  find_first();
}

RecordReader::RecordReader(ReaderOptions options, std::unique_ptr<RowSource> rows)
    : state_(std::make_unique<State>(std::move(options), std::move(rows))) {
  find_first();
}

void RecordReader::find_first() {
  Record record;
  if (state_->advance(record)) {
    state_->first = std::move(record);
    return;
  }
  const ReaderCounts& seen = state_->counts;
  const std::string file = name_of(state_->rows->files());
  if (seen.records == 0) {
    throw Error(ErrorCode::BadInput, fmt::format("{}: there is no record in it", file),
                "expected JSON lines or a JSON array of preferences; see docs/data-shapes.md");
  }
  const std::string read = names_of(seen.columns_read);
  throw Error(ErrorCode::BadInput,
              fmt::format("{}: none of its {} records can be used: {}{}", file, seen.records, reasons_of(seen),
                          read.empty() ? "" : "; columns read: " + read),
              seen.bad_examples.empty() ? "see docs/data-shapes.md for what is left out and why"
                                        : "the first of them: " + seen.bad_examples.front());
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

RecordKind RecordReader::kind() const {
  return *state_->kind;
}

Shape RecordReader::shape() const {
  return state_->first_shape;
}

const ReaderCounts& RecordReader::counts() const {
  return state_->counts;
}

std::uint64_t RecordReader::bytes_read() const {
  return state_->rows->bytes_read();
}

}  // namespace coala
