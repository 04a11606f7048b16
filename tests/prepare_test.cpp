// Writing records, splitting them by prompt, and the whole of `coala prepare` below its command line.
#include "data/prepare.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "core/atomic_file.h"
#include "core/random.h"
#include "data/split.h"
#include "data/writer.h"
#include "support.h"

namespace coala {
namespace {

using test::error_code_of;
using test::shared_file;
using test::TemporaryFolder;

std::vector<Record> read_all(const std::filesystem::path& path) {
  RecordReader reader({{path}, {}});
  std::vector<Record> records;
  for (Record record; reader.next(record);) records.push_back(record);
  return records;
}

void expect_same(const Record& a, const Record& b) {
  ASSERT_EQ(a.index(), b.index());
  if (const Pair* x = std::get_if<Pair>(&a)) {
    const Pair& y = std::get<Pair>(b);
    EXPECT_EQ(x->id, y.id);
    EXPECT_EQ(x->subset, y.subset);
    EXPECT_EQ(x->question, y.question);
    EXPECT_EQ(x->prompt, y.prompt);
    EXPECT_EQ(x->chosen, y.chosen);
    EXPECT_EQ(x->rejected, y.rejected);
    EXPECT_EQ(x->margin, y.margin);
    EXPECT_EQ(x->weight, y.weight);
  } else {
    const auto& p = std::get<Labelled>(a);
    const auto& q = std::get<Labelled>(b);
    EXPECT_EQ(p.id, q.id);
    EXPECT_EQ(p.prompt, q.prompt);
    EXPECT_EQ(p.response, q.response);
    EXPECT_EQ(p.label, q.label);
  }
}

/// Prompts and texts that are easily taken for something else when they are read back.
std::vector<Pair> awkward_pairs() {
  const std::string hh = "\n\nHuman: p\n\nAssistant:";
  const std::string text = std::string("\" \\ \x01 \x7f \u2028 \U0001f600 ") + '\0' + " </s> ]}";
  return {
      {{"1", "", ""}, {{{"user", "p"}}, {}}, "good", "bad", {}, {}},
      {{"a b", "", ""}, {{{"user", hh}}, {}}, "good", "bad", 0.1, 3},
      {{text, "a subset", "a question"},
       {{{"system", ""}, {"user", text}, {"assistant", "x"}, {"user", ""}}, {}},
       text,
       "bad",
       -1e-300,
       1e300},
      {{"4", "", ""}, {{}, ""}, "same beginning", "same ending", 1.0 / 3, {}},
      {{"5", "", ""}, {{}, hh}, hh + "a", hh + "b", {}, std::numeric_limits<double>::denorm_min()},
      {{"6", "", ""}, {{{"user", "p"}}, {}}, "[]", "{}", -0.0, {}},
  };
}

TEST(Writer, WhatIsWrittenReadsBackTheSame) {
  const TemporaryFolder folder;
  const std::vector<Pair> pairs = awkward_pairs();
  const std::vector<Labelled> labelled{{{"1", "", ""}, {}, "fine", 1},
                                       {{"2", "part", "asked"}, {{{"user", "p"}}, {}}, "{\"label\": 1}", -1},
                                       {{"3", "", ""}, {{}, "word for word"}, " on", -1}};
  for (const char* name : {"out.jsonl", "out.jsonl.gz"}) {
    SCOPED_TRACE(name);
    const auto round_trip = [&](const auto& records) {
      RecordWriter writer(folder / name);
      for (const auto& record : records) writer.write(record);
      EXPECT_FALSE(std::filesystem::exists(folder / name)) << "nothing shows before the commit";
      writer.commit();
      EXPECT_EQ(writer.records(), records.size());
      const std::vector<Record> read = read_all(folder / name);
      ASSERT_EQ(read.size(), records.size());
      for (std::size_t i = 0; i < read.size(); ++i) expect_same(records[i], read[i]);
      std::filesystem::remove(folder / name);
    };
    round_trip(pairs);
    round_trip(labelled);
  }
}

TEST(Writer, SameRecordsSameBytesAndGzipIsGzip) {
  const TemporaryFolder folder;
  for (const char* name : {"a.gz", "b.gz"}) {
    RecordWriter writer(folder / name);
    for (int i = 0; i < 5000; ++i) {
      writer.write(Pair{{std::to_string(i), "", ""}, {{{"user", std::string(40, 'p')}}, {}}, "good", "bad", {}, {}});
    }
    writer.commit();
  }
  const std::string packed = read_file(folder / "a.gz");
  EXPECT_EQ(packed, read_file(folder / "b.gz"));
  EXPECT_EQ(packed.substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(read_all(folder / "a.gz").size(), 5000u);
}

TEST(Writer, RefusesWhatJsonCannotHold) {
  EXPECT_EQ(error_code_of([] { to_json_line(Pair{{"1", "", ""}, {}, "\xff", "b", {}, {}}); }), ErrorCode::BadInput);
  EXPECT_EQ(error_code_of([] {
              to_json_line(Pair{{"1", "", ""}, {}, "a", "b", std::nan(""), {}});
            }),
            ErrorCode::BadInput);
}

TEST(PromptKey, TellsEveryBoundaryApart) {
  const std::vector<Prompt> prompts{
      {},
      {{}, "ab"},
      {{{"user", "ab"}}, {}},
      {{{"user", "a"}, {"user", "b"}}, {}},
      {{{"user", "a"}, {"assistant", "b"}}, {}},
      {{{"user", "a|9:assistant1:b"}}, {}},
      {{{"usera", "b"}}, {}},
      {{{"user", ""}}, {}},
      {{{"user", ""}, {"user", ""}}, {}},
      {{}, "0:|4:user0:"},
      {{}, "|4:user2:ab"},
  };
  std::set<std::string> keys;
  for (const Prompt& prompt : prompts) keys.insert(prompt.key());
  EXPECT_EQ(keys.size(), prompts.size());
}

/// Five standard deviations of a binomial count: a fair hash fails this about once in two million runs.
double spread(double n, double p) {
  return 5 * std::sqrt(n * p * (1 - p));
}

TEST(Split, IsStableNestedAndFair) {
  constexpr int kPrompts = 20000;
  int held_out = 0;
  int other_seed = 0;
  for (int i = 0; i < kPrompts; ++i) {
    const Prompt prompt{{{"user", fmt::format("prompt {}", i)}}, {}};
    const std::string key = split_key(Pair{{"1", "", ""}, prompt, "a", "b", {}, {}});
    const bool in = in_held_out(key, 0.1, 1);
    EXPECT_LE(in, in_held_out(key, 0.2, 1)) << "a larger fraction only adds";
    EXPECT_FALSE(in_held_out(key, 0, 1));
    EXPECT_TRUE(in_held_out(key, 1, 1));
    held_out += in;
    other_seed += in && in_held_out(key, 0.1, 2);
  }
  EXPECT_NEAR(held_out, 0.1 * kPrompts, spread(kPrompts, 0.1));
  EXPECT_NEAR(other_seed, 0.01 * kPrompts, spread(kPrompts, 0.01)) << "seeds are independent";
  // Fixed for good: a new release must not move a prompt from training to evaluation.
  std::string pattern;
  for (int i = 0; i < 20; ++i) {
    const Prompt prompt{{{"user", std::to_string(i)}}, {}};
    pattern += in_held_out(split_key(Pair{{"1", "", ""}, prompt, "a", "b", {}, {}}), 0.5, 0) ? '1' : '0';
  }
  EXPECT_EQ(pattern, "00001111001000001000");
  EXPECT_EQ(error_code_of([] { in_held_out("k", 1.5, 0); }), ErrorCode::BadUsage);
  EXPECT_EQ(error_code_of([] { in_held_out("k", std::nan(""), 0); }), ErrorCode::BadUsage);
}

TEST(Split, FoldsAreFairAndIndependentOfWhatIsHeldOut) {
  constexpr int kKeys = 20000;
  constexpr int kFolds = 5;
  std::vector<int> all(kFolds);
  std::vector<int> kept(kFolds);
  int rest = 0;
  for (int i = 0; i < kKeys; ++i) {
    const std::string key = fmt::format("key {}", i);
    const int fold = fold_of(key, kFolds, 3);
    ASSERT_GE(fold, 0);
    ASSERT_LT(fold, kFolds);
    ++all[static_cast<std::size_t>(fold)];
    if (in_held_out(key, 0.5, 3)) continue;
    ++kept[static_cast<std::size_t>(fold)];
    ++rest;
  }
  for (std::size_t fold = 0; fold < kFolds; ++fold) {
    EXPECT_NEAR(all[fold], kKeys / 5.0, spread(kKeys, 0.2));
    EXPECT_NEAR(kept[fold], rest / 5.0, spread(rest, 0.2));
  }
  EXPECT_EQ(error_code_of([] { fold_of("k", 0, 0); }), ErrorCode::BadUsage);
}

TEST(Split, RecordsWithoutPromptSplitByTheirText) {
  const Labelled a{{"1", "", ""}, {}, "a", 1};
  const Labelled b{{"2", "", ""}, {}, "b", 1};
  EXPECT_NE(split_key(a), split_key(b));
  EXPECT_EQ(split_key(a), split_key(Labelled{{"9", "", ""}, {}, "a", -1}));
  const Prompt prompt{{{"user", "p"}}, {}};
  EXPECT_EQ(split_key(Pair{{"1", "", ""}, prompt, "a", "b", {}, {}}), prompt.key());
  EXPECT_EQ(split_key(Record(Labelled{{"1", "", ""}, prompt, "a", 1})), prompt.key());
}

TEST(Split, GoesByAQuestionThatIsLeftAside) {
  const TemporaryFolder folder;
  write_file(folder / "in", R"({"original_question": "Why?", "chosen": "good one", "rejected": "bad one"}
{"original_question": "why", "chosen": "other words", "rejected": "and others"}
{"original_question": "When?", "chosen": "some text", "rejected": "no text"}
)");
  ReaderOptions options;
  options.columns.ignored = {"original_question"};
  RecordReader reader({{folder / "in"}, options});
  std::vector<std::string> keys;
  RecordWriter writer(folder / "out");
  for (Record record; reader.next(record);) {
    EXPECT_EQ(prompt_key(record), "") << "it is no part of the prompt";
    keys.push_back(split_key(record));
    writer.write(record);
  }
  ASSERT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys[0], keys[1]);
  EXPECT_NE(keys[0], keys[2]);
  writer.commit();
  const std::vector<Record> again = read_all(folder / "out");
  ASSERT_EQ(again.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(split_key(again[i]), keys[i]);
}

TEST(Split, KeepsDialoguesTogether) {
  const auto key = [](std::vector<Message> messages) {
    return split_key(Pair{{"1", "", ""}, {std::move(messages), {}}, "a", "b", {}, {}});
  };
  const std::string one = key({{"user", "How do I wrap a present?"}});
  EXPECT_EQ(one, key({{"user", "How do I wrap a present?"}, {"assistant", "Which?"}, {"user", "A ball."}}));
  EXPECT_EQ(one, key({{"system", "Be kind."}, {"user", "how do I  wrap a present"}}));
  EXPECT_NE(one, key({{"user", "How do I wrap a parcel?"}}));
  EXPECT_NE(key({{"user", "?"}}), key({{"user", "!"}}));
  // Every pair of a conversation is on one side.
  const TemporaryFolder folder;
  std::string content;
  for (int talk = 0; talk < 60; ++talk) {
    content += "{\"messages\": [";
    for (int turn = 0; turn < 6; ++turn) {
      content += fmt::format(
          "{}{{\"role\": \"user\", \"content\": \"user {} of talk {}\"}}, "
          "{{\"role\": \"assistant\", \"content\": \"answer {} of talk {}\"}}",
          turn == 0 ? "" : ", ", turn, talk, turn, talk);
    }
    content += "]}\n";
  }
  write_file(folder / "in", content);
  PrepareOptions options;
  options.data.paths = {folder / "in"};
  options.out = folder / "train.jsonl";
  options.eval_out = folder / "eval.jsonl";
  options.eval_fraction = 0.3;
  prepare(options);
  const auto talks = [](const std::vector<Record>& records) {
    std::set<std::string> ids;
    for (const Record& record : records)
      ids.insert(std::get<Pair>(record).id.substr(0, std::get<Pair>(record).id.find('.')));
    return ids;
  };
  const std::set<std::string> train = talks(read_all(options.out));
  const std::set<std::string> eval = talks(read_all(options.eval_out));
  EXPECT_EQ(train.size() + eval.size(), 60u);
  EXPECT_GT(eval.size(), 5u);
}

TEST(LengthStatistics, AgreesWithSorting) {
  LengthStatistics empty;
  EXPECT_EQ(empty.median(), 0u);
  EXPECT_EQ(empty.mean(), 0);
  Random random(5);
  for (const std::size_t count : {1u, 2u, 3u, 10u, 501u}) {
    LengthStatistics statistics;
    std::vector<std::uint64_t> lengths;
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      lengths.push_back(random.below(3000));
      statistics.add(lengths.back());
      sum += static_cast<double>(lengths.back());
    }
    std::sort(lengths.begin(), lengths.end());
    EXPECT_EQ(statistics.count(), count);
    EXPECT_EQ(statistics.min(), lengths.front());
    EXPECT_EQ(statistics.max(), lengths.back());
    EXPECT_EQ(statistics.median(), lengths[(count - 1) / 2]);
    EXPECT_DOUBLE_EQ(statistics.mean(), sum / static_cast<double>(count));
  }
  LengthStatistics long_ones;
  for (const std::uint64_t length : {std::uint64_t{1}, std::uint64_t{1} << 40, std::uint64_t{1} << 41})
    long_ones.add(length);
  EXPECT_EQ(long_ones.median(), std::uint64_t{1} << 40);
  EXPECT_EQ(long_ones.max(), std::uint64_t{1} << 41);
}

std::string line(const std::string& prompt, const std::string& chosen, const std::string& rejected) {
  return fmt::format("{{\"prompt\": \"{}\", \"chosen\": \"{}\", \"rejected\": \"{}\"}}\n", prompt, chosen, rejected);
}

TEST(Prepare, CountsPairsThatContradictEachOther) {
  const TemporaryFolder folder;
  write_file(folder / "in", line("p", "a", "b") + line("p", "b", "a") + line("p", "b", "a") + line("q", "a", "b") +
                                line("p", "a", "c"));
  PrepareOptions options;
  options.data.paths = {folder / "in"};
  options.out = folder / "out";
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.contradicted, 3u);
  EXPECT_EQ(report.duplicates, 1u);
}

TEST(Prepare, CountsByHand) {
  const TemporaryFolder folder;
  write_file(folder / "in", line("p", "longer", "bad") + line("p", "longer", "bad") + line("p", "up", "\u00e9\u00e9") +
                                line("qq", "a", "bcd") + line("x", "y", "y") + "\n" + line("x", "", "y"));
  PrepareOptions options;
  options.data.paths = {folder / "in"};
  options.out = folder / "out.jsonl";
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.kind, RecordKind::Pair);
  EXPECT_EQ(report.written, 4u);
  EXPECT_EQ(report.written_eval, 0u);
  EXPECT_EQ(report.counts.records, 6u);
  EXPECT_EQ(report.counts.lines, 7u);
  EXPECT_EQ(report.counts.empty, 1u);
  EXPECT_EQ(report.counts.identical, 1u);
  EXPECT_EQ(report.prompts, 2u);
  EXPECT_EQ(report.repeated_prompts, 2u);
  EXPECT_EQ(report.duplicates, 1u);
  EXPECT_EQ(report.contradicted, 0u);
  EXPECT_EQ(report.chosen_longer, 2u);
  EXPECT_EQ(report.equally_long, 1u) << "in characters, not bytes";
  EXPECT_DOUBLE_EQ(longer_wins(report), 2.5 / 4);
  EXPECT_EQ(report.prompt.max(), 2u);
  EXPECT_EQ(report.chosen.median(), 2u);               // 1 2 6 6
  EXPECT_DOUBLE_EQ(report.rejected.mean(), 11.0 / 4);  // 3 3 2 3
  EXPECT_EQ(read_all(folder / "out.jsonl").size(), 4u);
}

TEST(Prepare, SplitsByPromptAndLosesNothing) {
  const TemporaryFolder folder;
  std::string content;
  for (int i = 0; i < 400; ++i) content += line(fmt::format("p{}", i / 4), fmt::format("good {}", i), "bad");
  write_file(folder / "in", content);
  PrepareOptions options;
  options.data.paths = {folder / "in"};
  options.out = folder / "train.jsonl.gz";
  options.eval_out = folder / "eval.jsonl";
  options.eval_fraction = 0.3;
  const PrepareReport report = prepare(options);
  EXPECT_EQ(report.written + report.written_eval, 400u);
  const auto prompts = [](const std::vector<Record>& records) {
    std::set<std::string> keys;
    for (const Record& record : records) keys.insert(split_key(record));
    return keys;
  };
  const std::vector<Record> train = read_all(options.out);
  const std::vector<Record> eval = read_all(options.eval_out);
  EXPECT_EQ(train.size(), report.written);
  EXPECT_EQ(eval.size(), report.written_eval);
  const std::set<std::string> train_prompts = prompts(train);
  const std::set<std::string> eval_prompts = prompts(eval);
  EXPECT_EQ(train_prompts.size() + eval_prompts.size(), 100u) << "no prompt is on both sides";
  EXPECT_NEAR(static_cast<double>(eval_prompts.size()), 30, spread(100, 0.3));
  // The same file again, in its prepared form, splits alike.
  options.data.paths = {options.eval_out};
  options.eval_out = folder / "again.jsonl";
  options.out = folder / "none.jsonl";
  EXPECT_EQ(error_code_of([&] { prepare(options); }), ErrorCode::BadInput) << "all of it is held out again";
  EXPECT_FALSE(std::filesystem::exists(options.out));
  EXPECT_FALSE(std::filesystem::exists(options.eval_out));
}

TEST(Prepare, RefusesOptionsThatContradict) {
  const TemporaryFolder folder;
  write_file(folder / "in", line("p", "a", "b"));
  PrepareOptions options;
  options.data.paths = {folder / "in"};
  options.out = folder / "out";
  options.eval_out = folder.path() / "." / "out";
  EXPECT_EQ(error_code_of([&] { prepare(options); }), ErrorCode::BadUsage);
  options.eval_out = folder / "eval";
  for (const double fraction : {0.0, 1.0, -0.5, std::nan("")}) {
    options.eval_fraction = fraction;
    EXPECT_EQ(error_code_of([&] { prepare(options); }), ErrorCode::BadUsage) << fraction;
  }
  options.eval_out.clear();
  options.out = "/no/such/folder/out";
  EXPECT_EQ(error_code_of([&] { prepare(options); }), ErrorCode::Io);
}

TEST(Prepare, MayReplaceItsOwnInput) {
  const TemporaryFolder folder;
  write_file(folder / "in", line("p", "a", "b"));
  PrepareOptions options;
  options.data.paths = {folder / "in"};
  options.out = folder / "in";
  prepare(options);
  const std::string once = read_file(folder / "in");
  EXPECT_EQ(prepare(options).counts.by_shape.count(Shape::Coala), 1u);
  EXPECT_EQ(read_file(folder / "in"), once) << "its own shape stays as it is";
}

/// The `names` of a line of the page.
std::vector<std::string> names_in(const std::string& text) {
  std::vector<std::string> names;
  for (std::size_t open = text.find('`'); open != std::string::npos; open = text.find('`', open)) {
    const std::size_t close = text.find('`', open + 1);
    if (close == std::string::npos) break;
    names.push_back(text.substr(open + 1, close - open - 1));
    open = close + 1;
  }
  return names;
}

TEST(DataShapesPage, EveryExampleHasTheShapeOfItsHeading) {
  const TemporaryFolder folder;
  std::ifstream page(test::test_file("../../docs/data-shapes.md"));
  ASSERT_TRUE(page.is_open());
  std::vector<std::string> heading;
  std::string held_back;  // records that make sense together only
  std::set<std::string> shown;
  for (std::string text; std::getline(page, text);) {
    if (text.starts_with("## ") || text.starts_with("### ")) heading = names_in(text);
    if (!text.starts_with("    {")) continue;
    ASSERT_FALSE(heading.empty()) << text;
    const bool more = (heading.front() == "helpsteer" && held_back.empty()) ||
                      (heading.front() == "oasst" && text.find("\"rank\": 1}") == std::string::npos);
    if (more) {
      held_back += text + "\n";
      continue;
    }
    write_file(folder / "example", held_back + text);
    held_back.clear();
    const std::string shape = shape_name(RecordReader({{folder / "example"}, {}}).shape());
    EXPECT_EQ(std::count(heading.begin(), heading.end(), shape), 1) << shape << ": " << text;
    shown.insert(shape);
  }
  EXPECT_EQ(shown.size() + 1, shape_names().size()) << "a shape has no example (auto needs none)";
}

TEST(Prepare, RealFilesSurviveTheRoundTrip) {
  COALA_NEEDS_SHARED("data/preference");
  const TemporaryFolder folder;
  for (const char* name : {"hh_helpful.test.json.gz", "ultrafeedback_1k.train.jsonl"}) {
    SCOPED_TRACE(name);
    PrepareOptions options;
    options.data.paths = {shared_file(std::string("data/preference/") + name)};
    options.out = folder / "out.jsonl.gz";
    prepare(options);
    const std::vector<Record> before = read_all(options.data.paths.front());
    const std::vector<Record> after = read_all(options.out);
    ASSERT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i) expect_same(before[i], after[i]);
  }
}

}  // namespace
}  // namespace coala
